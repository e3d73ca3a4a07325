// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestFoldUnit(t *testing.T) {
	t.Parallel()
	const uuid = "1f0c5b7a-9d3e-4f60-8a7b-6c5d4e3f2a1b"
	for unit, want := range map[string]string{
		"session-12.scope":            "session.scope",
		"session-c3.scope":            "session.scope",
		"session-x.scope":             "session-x.scope",
		"session-12.service":          "session-12.service",
		"run-u12.service":             "run-*.service",
		"run-u12.scope":               "run-*.scope",
		"run-4711.scope":              "run-*.scope",
		"run-p812-i813.scope":         "run-*.scope",
		"run-p812-i813.service":       "run-*.service",
		"run-r" + idA[:32] + ".scope": "run-*.scope",
		"run-" + idA[:32] + ".scope":  "run-*.scope",
		"run-parts.service":           "run-parts.service",
		"run-p1-x.service":            "run-p1-x.service",
		"run-.service":                "run-.service",
		// Socket activation with Accept=yes, systemd 240 to 257.
		"sshd@3-10.0.0.1:22-10.0.0.9:4242.service":     "sshd@*.service",
		"sshd@3-812-10.0.0.1:22-10.0.0.9:4242.service": "sshd@*.service",
		"sshd@0-fe80::1:22-fe80::2:52100.service":      "sshd@*.service",
		"systemd-coredump@12-3456-0.service":           "systemd-coredump@*.service",
		"systemd-coredump@12-3456_789-0.service":       "systemd-coredump@*.service",
		// Instances that people name.
		"postgresql@15-main.service":  "postgresql@15-main.service",
		"postgresql@15-my-db.service": "postgresql@15-my-db.service",
		"getty@tty1.service":          "getty@tty1.service",
		"user-runtime-dir@1000.mount": "user-runtime-dir@1000.mount",
		"worker@3.service":            "worker@3.service",
		// Names with random parts.
		"vte-spawn-" + uuid + ".scope":               "vte-spawn-*.scope",
		"snap.firefox.firefox-" + uuid + ".scope":    "snap.firefox.firefox-*.scope",
		uuid + ".web.scope":                          "*.web.scope",
		"app-org.kde.x@" + idA[:32] + ".service":     "app-org.kde.x@*.service",
		"app-gnome-firefox-4711.scope":               "app-gnome-firefox-*.scope",
		"job-3fa85f64.service":                       "job-*.service",
		"job-deadbeef.service":                       "job-deadbeef.service",
		"job-deadbee1x.service":                      "job-deadbee1x.service",
		"xdeadbee1.service":                          "xdeadbee1.service",
		"dbus-:1.22-org.x@0.service":                 "dbus-*-org.x@0.service",
		"backup-3fa85f64-3fa85f65-of-20240101.mount": "backup-*-*-of-*.mount",
		// Numbers that people choose.
		"redis-6379.service": "redis-6379.service",
		"100.scope":          "100.scope",
		".scope":             ".scope",
		"noext":              "noext",
	} {
		if got := foldUnit(unit); got != want {
			t.Errorf("foldUnit(%q) = %q, want %q", unit, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for _, tc := range []struct {
		name  string
		limit int
		want  string
	}{
		{"web-1", 253, "web-1"},
		{`dev-disk-by\x2dlabel.swap`, 253, `dev-disk-by\x2dlabel.swap`},
		{"", 253, ""},
		{"Größe 日本", 253, "Größe 日本"},
		{"a\nb\x00c\x7f", 253, `a\x0ab\x00c\x7f`},
		{"a\xff\xfeb", 253, `a\xff\xfeb`},
		{"a\u202eb\u0085", 253, `a\u202eb\u0085`}, // right-to-left override, next line.
		{"tag\U000e0041", 253, `tag\U000e0041`},   // an invisible tag.
		{"\ufffd", 253, "\ufffd"},                 // is valid by itself.
		{long, 20, "xxxxxxxxxxx~" + "c9eb5a35"},   // FNV-1a of 300 x.
		{"ééééé", 10, "ééééé"},                    // five runes, ten bytes.
		{"éééééé", 10, "~" + "e9d9bd25"},          // no room for half a rune.
		{long, 0, ""},
	} {
		got := Clean(tc.name, tc.limit)
		if strings.Contains(tc.want, "~") {
			// The digits are checked for what they are for: to differ.
			if len(got) > tc.limit || got[:strings.Index(got, "~")+1] != tc.want[:strings.Index(tc.want, "~")+1] {
				t.Errorf("Clean(%.20q, %d) = %q, want %q and a hash", tc.name, tc.limit, got, tc.want)
			}
			continue
		}
		if got != tc.want {
			t.Errorf("Clean(%q, %d) = %q, want %q", tc.name, tc.limit, got, tc.want)
		}
	}
	if a, b := Clean(long+"a", 253), Clean(long+"b", 253); a == b || len(a) != 253 || len(b) != 253 {
		t.Errorf("two long names became %q and %q", a, b)
	}
}

func TestUnescapeUnit(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`a\x2db`: "a-b", `a\x2`: `a\x2`, `\xzz`: `\xzz`, `\x41\x42`: "AB", "plain": "plain",
	} {
		if got := unescapeUnit(in); got != want {
			t.Errorf("unescapeUnit(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("web", 253)
	f.Add("a\nb\xff\u202e", 8)
	f.Add(strings.Repeat("é", 200), 20)
	f.Fuzz(func(t *testing.T, name string, limit int) {
		limit &= 1023
		got := Clean(name, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("Clean(%q, %d) = %q", name, limit, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("Clean(%q, %d) = %q has %U", name, limit, got, r)
			}
		}
		if again := Clean(got, limit); again != got {
			t.Fatalf("Clean(%q) = %q, and cleaned again %q", name, got, again)
		}
	})
}

func FuzzFoldUnit(f *testing.F) {
	f.Add("run-p812-i813.scope")
	f.Add("sshd@3-10.0.0.1:22-10.0.0.9:4242.service")
	f.Add("x-3fa85f64.scope")
	f.Fuzz(func(t *testing.T, unit string) {
		folded := foldUnit(unit)
		if len(folded) > len(unit) {
			t.Errorf("foldUnit(%q) = %q is longer", unit, folded)
		}
		if (folded == "") != (unit == "") {
			t.Errorf("foldUnit(%q) = %q", unit, folded)
		}
	})
}

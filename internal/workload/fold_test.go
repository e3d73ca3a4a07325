// SPDX-License-Identifier: Apache-2.0

package workload

import "testing"

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

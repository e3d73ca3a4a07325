// SPDX-License-Identifier: Apache-2.0

package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

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

// For people the same is spelt alike, but cut with dots.
func TestShort(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 20, "plain"},
		{"", 20, ""},
		{"a\nb\tc", 20, `a\x0ab\x09c`},
		{"\xff\xfe\x80bin", 20, `\xff\xfe\x80bin`},
		{"é日本", 20, "é日本"},
		{"a\u202eb\u00a0c\u200d", 30, `a\u202eb\u00a0c\u200d`},
		{"\x1b[31mred", 30, `\x1b[31mred`},
		{"tag\U000e0001", 30, `tag\U000e0001`},
		{"\ufffd", 20, "\ufffd"},
		{"1234567890", 10, "1234567890"},
		{"12345678901", 10, "1234567..."},
		{"日日日日日日", 6, "日日日日日日"},
		{"日日日日日日日", 6, "日日日..."},
		{"ab\n\n", 8, `ab\x0...`},
		{"abc", 2, ".."},
		{"abc", 0, ""},
	} {
		if got := Short(tc.in, tc.limit); got != tc.want {
			t.Errorf("Short(%q, %d) = %q, want %q", tc.in, tc.limit, got, tc.want)
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
		short := Short(name, limit)
		if utf8.RuneCountInString(short) > limit || !utf8.ValidString(short) {
			t.Fatalf("Short(%q, %d) = %q", name, limit, short)
		}
		if again := Short(short, limit); again != short {
			t.Fatalf("Short(%q) = %q, and shortened again %q", name, short, again)
		}
		if again := Clean(got, limit); again != got {
			t.Fatalf("Clean(%q) = %q, and cleaned again %q", name, got, again)
		}
	})
}

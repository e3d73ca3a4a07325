// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
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
		if got := Clean(tc.in, tc.limit); got != tc.want {
			t.Errorf("Clean(%q, %d) = %q, want %q", tc.in, tc.limit, got, tc.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\xffb\n\u202e", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 1000)
		got := Clean(s, limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit {
			t.Errorf("Clean(%q, %d) = %q", s, limit, got)
		}
		if again := Clean(got, limit); again != got {
			t.Errorf("Clean(%q) = %q, and again %q", s, got, again)
		}
	})
}

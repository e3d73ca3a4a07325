// SPDX-License-Identifier: Apache-2.0

// Package report tells kills and OOM reports: as text for people, as one
// versioned JSON schema, as a table and as fields of a log line.
package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest texts that are passed on. The kernel's comm has 15 bytes, but up
// to four characters each when escaped.
const (
	maxComm = 64
	maxPath = 4096
	maxMask = 256
)

// Clean makes a text of the kernel's safe to show: valid UTF-8, no control or
// invisible characters, at most limit characters. What is not printable
// becomes \xNN or \uNNNN, byte by byte or rune by rune.
func Clean(s string, limit int) string {
	if isClean(s) && len(s) <= limit {
		return s
	}
	var b strings.Builder
	n := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		piece := s[:size]
		switch {
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f:
			piece = fmt.Sprintf(`\x%02x`, s[0])
		case r > 0xffff && !unicode.IsPrint(r):
			piece = fmt.Sprintf(`\U%08x`, r)
		case !unicode.IsPrint(r):
			piece = fmt.Sprintf(`\u%04x`, r)
		}
		width := utf8.RuneCountInString(piece)
		if n+width > limit {
			return shorten(b.String(), limit)
		}
		b.WriteString(piece)
		n += width
		s = s[size:]
	}
	return b.String()
}

// shorten marks a text that was cut.
func shorten(s string, limit int) string {
	const mark = "..."
	if limit <= len(mark) {
		return mark[:max(0, limit)]
	}
	runes := []rune(s)
	return string(runes[:min(len(runes), limit-len(mark))]) + mark
}

func isClean(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// SPDX-License-Identifier: Apache-2.0

// Package text makes foreign text safe to show: names of cgroups, processes
// and containers are whatever somebody wrote. There is one spelling for what
// can't be shown, so that a name is the same in every metric, record and page.
package text

import (
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxLabel is how many bytes a label's value may have: as many as the
	// longest pod name that Kubernetes allows.
	MaxLabel = 253
	// hashMark begins the mark at the end of a name that was cut; eight hex digits
	// of the whole name's FNV-1a follow, so that two names that begin alike stay
	// distinct.
	hashMark   = "~"
	hashDigits = 8
	// ellipsis is the mark of a cut in text for people.
	ellipsis = "..."
)

// Label returns name as a label's value: as Clean, in MaxLabel bytes.
func Label(name string) string { return Clean(name, MaxLabel) }

// Clean returns name escaped and in not more than limit bytes. A hash marks
// what was cut.
func Clean(name string, limit int) string {
	if isPlain(name) {
		return cut(name, name, limit)
	}
	// An escape is longer than what it stands for: no more of name is needed.
	return cut(Escape(name[:min(len(name), max(limit, 0)+utf8.UTFMax)]), name, limit)
}

// Short returns text escaped and in not more than limit characters, for people:
// three dots mark what was cut.
func Short(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit && isPlain(text) {
		return text
	}
	runes := []rune(Escape(text))
	switch {
	case len(runes) <= limit:
		return string(runes)
	case limit <= len(ellipsis):
		return ellipsis[:max(0, limit)]
	default:
		return string(runes[:limit-len(ellipsis)]) + ellipsis
	}
}

// Escape returns text as valid UTF-8 without control, format and other
// unprintable characters: an ASCII control or a byte that is not valid UTF-8
// becomes \xHH, any other of them \uHHHH or \UHHHHHHHH.
func Escape(text string) string {
	if isPlain(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f:
			b.WriteString(`\x` + hex(uint64(text[i]), 2))
		case unicode.IsPrint(r):
			b.WriteString(text[i : i+size])
		case r <= 0xffff:
			b.WriteString(`\u` + hex(uint64(r), 4))
		default:
			b.WriteString(`\U` + hex(uint64(r), 8))
		}
		i += size
	}
	return b.String()
}

// isPlain tells whether text is printable ASCII, as most is: nothing to escape.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// cut shortens s, which was made from whole, to limit bytes.
func cut(s, whole string, limit int) string {
	if len(s) <= limit {
		return s
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(whole))
	mark := hashMark + hex(uint64(h.Sum32()), hashDigits)
	keep := limit - len(mark)
	if keep <= 0 {
		return mark[:max(limit, 0)]
	}
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return s[:keep] + mark
}

func hex(n uint64, digits int) string {
	s := strconv.FormatUint(n, 16)
	return strings.Repeat("0", max(0, digits-len(s))) + s
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLabel is how many bytes a name may have in a label: as many as the
	// longest pod name that Kubernetes allows.
	maxLabel = 253
	// cutMark begins the mark at the end of a name that was cut: it and eight
	// hex digits of the whole name's FNV-1a, so that two names that begin alike
	// stay two.
	cutMark   = "~"
	cutDigits = 8
)

// Clean returns name as valid UTF-8 without control, format and other
// unprintable characters, which become \xHH, \uHHHH or \UHHHHHHHH, and in not
// more than limit bytes.
func Clean(name string, limit int) string {
	if isClean(name) {
		return cut(name, name, limit)
	}
	var b strings.Builder
	for i := 0; i < len(name) && b.Len() <= limit; {
		r, size := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f:
			b.WriteString(`\x` + hex(uint64(name[i]), 2))
		case unicode.IsPrint(r):
			b.WriteString(name[i : i+size])
		case r <= 0xffff:
			b.WriteString(`\u` + hex(uint64(r), 4))
		default:
			b.WriteString(`\U` + hex(uint64(r), 8))
		}
		i += size
	}
	return cut(b.String(), name, limit)
}

// isClean tells whether Clean has nothing to escape; most names are ASCII.
func isClean(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// cut shortens s, which was made of whole, to limit bytes.
func cut(s, whole string, limit int) string {
	if len(s) <= limit {
		return s
	}
	h := fnv.New32a()
	h.Write([]byte(whole))
	mark := cutMark + hex(uint64(h.Sum32()), cutDigits)
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

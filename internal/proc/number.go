// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"errors"
	"math"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// errDamaged says that a file holds something that no kernel writes there.
var errDamaged = errors.New("unexpected content")

// parseUint reads the decimal number that b begins with, after blanks, and
// returns what follows it. ok is false where there is no number, where it does
// not fit into 64 bits, and where it does not end at a blank or the end.
func parseUint(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	first := i
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		digit := uint64(b[i] - '0')
		if n > (math.MaxUint64-digit)/10 {
			return 0, b, false
		}
		n = n*10 + digit
	}
	if i == first || i < len(b) && b[i] != ' ' && b[i] != '\t' && b[i] != '\n' {
		return 0, b, false
	}
	return n, b[i:], true
}

// parseAmount reads a text that is one number, as the files with one value
// hold it; anything else is unset.
func parseAmount(b []byte) oom.Amount {
	n, rest, ok := parseUint(b)
	if !ok || len(bytes.TrimSpace(rest)) != 0 {
		return oom.Amount{}
	}
	return oom.Of(n)
}

// parseKiB reads "  1234 kB" and returns bytes; anything else is unset.
func parseKiB(b []byte) oom.Amount {
	n, rest, ok := parseUint(b)
	if !ok || n > math.MaxUint64/1024 || string(bytes.TrimSpace(rest)) != "kB" {
		return oom.Amount{}
	}
	return oom.Of(n * 1024)
}

// parseAdj reads oom_score_adj: a number from -1000 to 1000.
func parseAdj(b []byte) (int16, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	n, rest, ok := parseUint(b)
	if !ok || n > 1000 || len(bytes.TrimSpace(rest)) != 0 {
		return 0, false
	}
	if negative {
		return -int16(n), true
	}
	return int16(n), true
}

// parsePID reads a directory name as the kernel prints a process id: no sign,
// no leading zero, at most 31 bits.
func parsePID(name []byte) (int32, bool) {
	if len(name) == 0 || len(name) > 10 || name[0] == '0' {
		return 0, false
	}
	var n int64
	for _, c := range name {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return int32(n), n <= math.MaxInt32
}

// times multiplies and tells whether the product fits.
func times(n, by uint64) (uint64, bool) {
	if by != 0 && n > math.MaxUint64/by {
		return 0, false
	}
	return n * by, true
}

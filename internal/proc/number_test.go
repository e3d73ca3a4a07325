// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestParseAmount(t *testing.T) {
	for text, want := range map[string]oom.Amount{
		"0\n":                        oom.Of(0),
		"667\n":                      oom.Of(667),
		" 12 \n":                     oom.Of(12),
		"18446744073709551615\n":     oom.Of(math.MaxUint64),
		"18446744073709551616\n":     {},
		"99999999999999999999999999": {},
		"":                           {},
		"\n":                         {},
		"-1\n":                       {},
		"+1\n":                       {},
		"12a\n":                      {},
		"12 13\n":                    {},
		"0x10\n":                     {},
		"1e3\n":                      {},
		"max\n":                      {},
		"1\x002\n":                   {},
		"\xff\xfe":                   {},
		"\n\n 12\n":                  {},
	} {
		if got := parseAmount([]byte(text)); got != want {
			t.Errorf("parseAmount(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestParseKiB(t *testing.T) {
	for text, want := range map[string]oom.Amount{
		"\t    1234 kB":            oom.Of(1234 * 1024),
		"       0 kB":              oom.Of(0),
		" 18014398509481983 kB":    oom.Of(18014398509481983 * 1024), // (2^64-1)/1024
		" 18014398509481984 kB":    {},
		" 1234":                    {},
		" 1234 MB":                 {},
		" kB":                      {},
		" 99999999999999999999 kB": {},
	} {
		if got := parseKiB([]byte(text)); got != want {
			t.Errorf("parseKiB(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestParseAdj(t *testing.T) {
	for text, want := range map[string]int16{"0\n": 0, "-1000\n": -1000, "1000\n": 1000, "-997": -997, "3\n": 3} {
		if got, ok := parseAdj([]byte(text)); !ok || got != want {
			t.Errorf("parseAdj(%q) = %d, %t, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "-1001\n", "1001\n", "65536\n", "--1\n", "1 2\n", "x", "18446744073709551617"} {
		if got, ok := parseAdj([]byte(text)); ok {
			t.Errorf("parseAdj(%q) = %d, want none", text, got)
		}
	}
}

func TestParsePID(t *testing.T) {
	for text, want := range map[string]int32{"1": 1, "4194304": 4194304, "2147483647": math.MaxInt32} {
		if got, ok := parsePID([]byte(text)); !ok || got != want {
			t.Errorf("parsePID(%q) = %d, %t, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "0", "01", "self", "1a", "-1", "2147483648", "9999999999", "12345678901"} {
		if got, ok := parsePID([]byte(text)); ok {
			t.Errorf("parsePID(%q) = %d, want none", text, got)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		n, by, want uint64
		fits        bool
	}{
		{3, 4096, 12288, true},
		{0, 4096, 0, true},
		{7, 0, 0, true},
		{math.MaxUint64 / 4096, 4096, math.MaxUint64 - 4095, true},
		{math.MaxUint64/4096 + 1, 4096, 0, false},
	} {
		if got, fits := times(c.n, c.by); got != c.want || fits != c.fits {
			t.Errorf("times(%d, %d) = %d, %t, want %d, %t", c.n, c.by, got, fits, c.want, c.fits)
		}
	}
}

// FuzzNumbers holds the number parsers against strconv.
func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{"0\n", "667\n", "-1000\n", "18446744073709551615", "18446744073709551616", " 12 kB", "x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := strings.TrimSpace(string(b))
		if n, ok := parseAmount(b).Get(); ok {
			// An Amount holds at most MaxAmount.
			if want, err := strconv.ParseUint(text, 10, 64); err != nil || n != min(want, oom.MaxAmount) {
				t.Errorf("parseAmount(%q) = %d, strconv says %d, %v", b, n, want, err)
			}
		}
		if n, ok := parseKiB(b).Get(); ok {
			number, unit, _ := bytes.Cut(bytes.TrimSpace(b), []byte("kB"))
			if want, err := strconv.ParseUint(string(bytes.TrimSpace(number)), 10, 64); err != nil || n != want*1024 || len(unit) > 0 {
				t.Errorf("parseKiB(%q) = %d, strconv says %d kB, %v", b, n, want, err)
			}
		}
		if n, ok := parsePID(b); ok && fmt.Sprint(n) != string(b) {
			t.Errorf("parsePID(%q) = %d", b, n)
		}
	})
}

// FuzzWritten checks that what the kernel can write is read back.
func FuzzWritten(f *testing.F) {
	f.Add(uint64(0), int16(-1000))
	f.Add(uint64(math.MaxUint64), int16(999))
	f.Fuzz(func(t *testing.T, n uint64, adj int16) {
		if got := parseAmount(fmt.Appendf(nil, "%d\n", n)); got != oom.Of(n) {
			t.Errorf("parseAmount of %d = %v", n, got)
		}
		got, ok := parseAdj(fmt.Appendf(nil, "%d\n", adj))
		if inRange := adj >= -1000 && adj <= 1000; ok != inRange || ok && got != adj {
			t.Errorf("parseAdj of %d = %d, %t", adj, got, ok)
		}
	})
}

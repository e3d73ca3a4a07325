// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestParseStatm(t *testing.T) {
	for text, want := range map[string]statm{
		"765 442 414 5 0 90 0\n":             {765, 442, 414},
		"0 0 0 0 0 0 0\n":                    {},
		"18446744073709551615 1 2 3 0 5 0\n": {math.MaxUint64, 1, 2},
	} {
		if got, ok := parseStatm([]byte(text)); !ok || got != want {
			t.Errorf("parseStatm(%q) = %v, %t, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "\n", "765", "765 442", "765 442 41", "765 442\n", "a b c d", "765 -1 0 0\n",
		"18446744073709551616 1 2 3 0 5 0\n", "1 18446744073709551616 2 3 0 5 0\n", "\x00\xff\x7fELF",
	} {
		if got, ok := parseStatm([]byte(text)); ok {
			t.Errorf("parseStatm(%q) = %v, want none", text, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const kib = 1024
	for name, c := range map[string]struct {
		text string
		want status
	}{
		"4.14 with VmPMD": {
			"Name:\tjava\nState:\tS (sleeping)\nVmRSS:\t     100 kB\nRssAnon:\t      60 kB\nVmPTE:\t      20 kB\nVmPMD:\t      12 kB\nVmSwap:\t       8 kB\n",
			status{"java", oom.Of(100 * kib), oom.Of(60 * kib), oom.Of(8 * kib), oom.Of(20 * kib), oom.Of(12 * kib)},
		},
		"3.10 without RssAnon": {
			"Name:\tjava\nVmRSS:\t     100 kB\nVmPTE:\t      20 kB\nVmSwap:\t       0 kB\n",
			status{name: "java", rss: oom.Of(100 * kib), swap: oom.Of(0), pte: oom.Of(20 * kib)},
		},
		"kernel thread":        {"Name:\tkthreadd\nState:\tS (sleeping)\nThreads:\t1\n", status{name: "kthreadd"}},
		"empty name":           {"Name:\t\nVmRSS:\t1 kB\n", status{rss: oom.Of(kib)}},
		"newline, backslash":   {"Name:\ta\\nVmRSS:\\\\b\n", status{name: "a\nVmRSS:\\b"}},
		"a lone backslash":     {"Name:\ta\\tb\\\n", status{name: `a\tb\`}},
		"blanks stay":          {"Name:\t a\t \n", status{name: " a\t "}},
		"quotes, UTF-8":        {"Name:\t\"é'\n", status{name: `"é'`}},
		"invalid bytes":        {"Name:\t\xff\xfe\x01\n", status{name: "\xff\xfe\x01"}},
		"cut in a line we use": {"Name:\ta\nVmRSS:\t     10", status{name: "a"}},
	} {
		if got, err := parseStatus([]byte(c.text)); err != nil || got != c.want {
			t.Errorf("%s: parseStatus = %+v, %v, want %+v", name, got, err, c.want)
		}
	}
	for _, text := range []string{
		"", "\n", "\x7fELF\x00", "VmRSS:\t1 kB\n", "Name: no tab\n",
		"Name:\ta\nVmRSS:\tmany kB\n", "Name:\ta\nVmRSS:\t1\n", "Name:\ta\nVmSwap:\t99999999999999999999 kB\n",
	} {
		if got, err := parseStatus([]byte(text)); !errors.Is(err, errDamaged) {
			t.Errorf("parseStatus(%q) = %+v, %v, want errDamaged", text, got, err)
		}
	}
}

// statTail is what follows the name in /proc/PID/stat; 27 is the start time.
const statTail = " S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 27 0 0 18446744073709551615 0 0\n"

func TestParseStat(t *testing.T) {
	for _, comm := range []string{"kthreadd", "", "a b", ") R 1 (", "a\nb", ")))", "\xff\"'\\", "é"} {
		got, err := parseStat([]byte("2 (" + comm + ")" + statTail))
		if err != nil || got.start != 27 || got.flags != 2129984 || !got.isKthread() {
			t.Errorf("parseStat of %q = %+v, %v, want start 27 and flags 2129984", comm, got, err)
		}
	}
	if (stat{flags: 4194560}).isKthread() {
		t.Error("flags 4194560 of pid 1 are taken for a kernel thread's")
	}
	for _, text := range []string{
		"", "2 kthreadd S 0", "2 (a)", "2 (a) S 0 0 0 0 -1 x 0 0 0 0 0 0 0 0 20 0 1 0 27 0\n",
		"2 (a) S 0 0 0 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 27", "2 (a) S 0 0 0 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 18446744073709551616 0",
		"2 (a) S 0 0 0 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 -27 0", "\x00\x01)\x02",
	} {
		if got, err := parseStat([]byte(text)); !errors.Is(err, errDamaged) {
			t.Errorf("parseStat(%q) = %+v, %v, want errDamaged", text, got, err)
		}
	}
}

func FuzzStatm(f *testing.F) {
	f.Add([]byte("765 442 414 5 0 90 0\n"))
	f.Add([]byte("0 0 0 0 0 0 0\n"))
	f.Add([]byte("18446744073709551616 1 2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := parseStatm(b)
		if !ok {
			return
		}
		fields := strings.FieldsFunc(string(b), func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
		for i, n := range []uint64{got.size, got.resident, got.shared} {
			if want, err := strconv.ParseUint(fields[i], 10, 64); err != nil || n != want {
				t.Errorf("parseStatm(%q) = %v, strconv says %d, %v for field %d", b, got, want, err, i)
			}
		}
	})
}

// FuzzStatus writes any name as the kernel does and wants it back, with the
// size that follows it.
func FuzzStatus(f *testing.F) {
	for _, seed := range []string{"java", "a\nb", `\n`, `\\`, "\\", "VmRSS:\t1 kB", "\xff\x00"} {
		f.Add([]byte(seed), uint32(7))
	}
	f.Fuzz(func(t *testing.T, comm []byte, kb uint32) {
		_, _ = parseStatus(comm)
		written := strings.NewReplacer("\n", `\n`, `\`, `\\`).Replace(string(comm))
		got, err := parseStatus(fmt.Appendf(nil, "Name:\t%s\nVmRSS:\t%8d kB\n", written, kb))
		if err != nil || got.name != string(comm) || got.rss != oom.Of(uint64(kb)*1024) {
			t.Errorf("name %q, %d kB: got %+v, %v", comm, kb, got, err)
		}
	})
}

// FuzzStat puts any name into a line and wants the start time that follows.
func FuzzStat(f *testing.F) {
	for _, seed := range []string{"java", ")", "(", ") S 1 2", "\n"} {
		f.Add([]byte(seed), uint64(27))
	}
	f.Fuzz(func(t *testing.T, comm []byte, start uint64) {
		_, _ = parseStat(comm)
		got, err := parseStat(fmt.Appendf(nil, "9 (%s) S 1 2 3 0 -1 77 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", comm, start))
		if want := (stat{flags: 77, start: start}); err != nil || got != want {
			t.Errorf("name %q: got %+v, %v, want %+v", comm, got, err, want)
		}
	})
}

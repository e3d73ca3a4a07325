// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// amounts lets cmp look into oom.Amount.
var amounts = cmp.Comparer(func(a, b oom.Amount) bool { return a == b })

func TestParseMeminfo(t *testing.T) {
	const kib = 1024
	for name, c := range map[string]struct {
		text string
		want oom.Node
	}{
		"3.10: no MemAvailable, no KReclaimable": {
			"MemTotal: 100 kB\nMemFree: 20 kB\nActive(file): 3 kB\nInactive(file): 4 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nSReclaimable: 5 kB\n",
			oom.Node{
				Total: oom.Of(100 * kib), Free: oom.Of(20 * kib), ActiveFile: oom.Of(3 * kib), InactiveFile: oom.Of(4 * kib),
				SwapTotal: oom.Of(0), SwapFree: oom.Of(0), SReclaimable: oom.Of(5 * kib),
			},
		},
		"similar keys": {
			"MemTotalX: 1 kB\nXMemTotal: 1 kB\nActive: 9 kB\nMemAvailable: 7 kB\n",
			oom.Node{Available: oom.Of(7 * kib)},
		},
		"one bad line leaves the others": {
			"MemTotal: 99999999999999999999 kB\nMemFree: x kB\nno colon\n\nMemAvailable: 7 kB\n\xff\xfe: 3 kB\n",
			oom.Node{Available: oom.Of(7 * kib)},
		},
		"pools of all sizes":       {"HugePages_Total:     150\nHugePages_Free:      150\nHugepagesize:       2048 kB\nHugetlb:         1355776 kB\n", oom.Node{Hugepages: oom.Of(1355776 * kib)}},
		"pools of the default one": {"HugePages_Total:     150\nHugePages_Free:      150\nHugepagesize:       2048 kB\n", oom.Node{Hugepages: oom.Of(300 * 1024 * kib)}},
		"pools beyond 2^64":        {"HugePages_Total: 18446744073709551615\nHugepagesize: 2048 kB\n", oom.Node{}},
		"cut in a number":          {"MemFree: 20 kB\nMemTotal: 24684", oom.Node{Free: oom.Of(20 * kib)}},
		"empty":                    {"", oom.Node{}},
		"garbage":                  {"\x7fELF\x00\x01:\n\n:\n", oom.Node{}},
	} {
		var got oom.Node
		parseMeminfo([]byte(c.text), &got)
		if diff := cmp.Diff(c.want, got, amounts); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestParseVMStat(t *testing.T) {
	for text, want := range map[string]oom.Amount{
		"oom_kill 17\n":                            oom.Of(17),
		"pgfault 1\noom_kill 0\nnuma_hit 3\n":      oom.Of(0),
		"pgfault 1\nnr_oom_kill 3\noom_kill_x 4\n": {}, // before 4.13.
		"pgfault 1\noom_kill 1":                    {}, // cut: it may be 17.
		"oom_kill\noom_kill\t5\n":                  {},
		"oom_kill 18446744073709551616\n":          {},
		"":                                         {},
		"\x00\x01\noom_kill \xff\n":                {},
	} {
		if got := parseVMStat([]byte(text), "oom_kill"); got != want {
			t.Errorf("parseVMStat(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestValidBootID(t *testing.T) {
	const id = "0f2c9c2e-6d3c-4c11-9f5e-2f0e9b1b7a10"
	for text, want := range map[string]string{
		id: id, "": "", id[:35]: "", id + "0": "", id[:35] + "g": "", id[:20] + "/" + id[21:]: "",
		strings.Repeat("\xff", 36): "", strings.Repeat("/", 36): "",
	} {
		if got := validBootID(text); got != want {
			t.Errorf("validBootID(%q) = %q, want %q", text, got, want)
		}
	}
}

// FuzzVMStat hides the counter between any other lines.
func FuzzVMStat(f *testing.F) {
	f.Add([]byte("pgfault 1\n"), uint64(17))
	f.Add([]byte("oom_kill 3"), uint64(0))
	f.Add([]byte("\noom_kill"), uint64(1))
	f.Fuzz(func(t *testing.T, before []byte, n uint64) {
		first := parseVMStat(before, "oom_kill")
		text := fmt.Appendf(append(bytes.Clone(before), '\n'), "oom_kill %d\npgfault 1\n", n)
		got := parseVMStat(text, "oom_kill")
		switch mentioned := bytes.Contains(before, []byte("oom_kill ")); {
		case !mentioned && got != oom.Of(n):
			t.Errorf("after %q: got %v, want %d", before, got, n)
		case first.IsSet() && got != first:
			t.Errorf("after %q: got %v, want the first, %v", before, got, first)
		}
	})
}

// FuzzMeminfo holds one size between other lines.
func FuzzMeminfo(f *testing.F) {
	f.Add([]byte("MemFree: 1 kB"), uint32(24684092))
	f.Add([]byte("some avg10=0.00 total=7\ncpu0 1"), uint32(0))
	f.Fuzz(func(t *testing.T, before []byte, n uint32) {
		if bytes.Contains(before, []byte("MemTotal")) {
			return
		}
		text := fmt.Appendf(append(bytes.Clone(before), '\n'), "MemTotal: %d kB\nMemFree: 1 kB\n", n)
		var node oom.Node
		parseMeminfo(text, &node)
		if node.Total != oom.Of(uint64(n)*1024) {
			t.Errorf("after %q: MemTotal %v, want %d kB", before, node.Total, n)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The fuzz targets compare with what the standard library makes of the same
// text, slowly.

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"0\n", "max\n", "18446744073709551616\n", "-1", "+1\n", "1_0\n", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := slowNumber(strings.TrimSuffix(string(b), "\n"))
		if got := parseNumber(b); got != want {
			t.Errorf("%q: got %v, want %v", b, got, want)
		}
	})
}

func slowNumber(s string) oom.Amount {
	if s == "max" {
		return oom.Unlimited()
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strings.ContainsAny(s, "+_") {
		return oom.Amount{}
	}
	return oom.Of(n)
}

// slowPairs are the last values of whole "key value" lines.
func slowPairs(b []byte) map[string]oom.Amount {
	pairs := map[string]oom.Amount{}
	lines := strings.SplitAfter(string(b), "\n")
	for _, line := range lines {
		line, whole := strings.CutSuffix(line, "\n")
		key, value, _ := strings.Cut(line, " ")
		if whole {
			pairs[key] = slowNumber(value)
			if pairs[key].IsUnlimited() {
				pairs[key] = oom.Amount{}
			}
		}
	}
	return pairs
}

func FuzzParseStat(f *testing.F) {
	b, err := os.ReadFile("testdata/stat-v1-6.18")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.ReplaceAll(b, []byte("total_"), nil))
	f.Add([]byte("anon 1\nanon 2\nkernel 3\nsock x\nfile"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pairs := slowPairs(b)
		var v1, v2 oom.Stat
		parseStatV1(b, &v1)
		parseStatV2(b, &v2)
		for key, got := range map[string]oom.Amount{
			"total_rss": v1.Anon, "total_cache": v1.File, "total_shmem": v1.Shmem, "total_swap": v1.Swap,
			"total_inactive_file": v1.InactiveFile, "total_active_file": v1.ActiveFile, "total_unevictable": v1.Unevictable,
			"anon": v2.Anon, "file": v2.File, "shmem": v2.Shmem, "unevictable": v2.Unevictable,
			"inactive_file": v2.InactiveFile, "active_file": v2.ActiveFile, "slab_reclaimable": v2.SlabReclaimable,
		} {
			if got != pairs[key] {
				t.Errorf("%q: %s is %v, want %v", b, key, got, pairs[key])
			}
		}
		if k := pairs["kernel"]; k.IsSet() && v2.Kernel != k {
			t.Errorf("%q: kernel is %v, want %v", b, v2.Kernel, k)
		}
	})
}

func FuzzParseEvents(f *testing.F) {
	f.Add([]byte("low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n"))
	f.Add([]byte("oom_kill_disable 0\nunder_oom 1\noom_kill 2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pairs := slowPairs(b)
		e := parseEvents(b)
		disabled, under, kills := parseOOMControl(b)
		for key, got := range map[string]oom.Amount{
			"high": e.High, "max": e.Max, "oom": e.OOMs, "oom_kill": e.OwnKills, "oom_group_kill": e.GroupKills,
			"oom_kill_disable": disabled, "under_oom": under,
		} {
			if got != pairs[key] {
				t.Errorf("%q: %s is %v, want %v", b, key, got, pairs[key])
			}
		}
		if kills != e.OwnKills || e.TreeKills.IsSet() {
			t.Errorf("%q: kills are %v and %v, tree %v", b, kills, e.OwnKills, e.TreeKills)
		}
	})
}

func FuzzParsePressure(f *testing.F) {
	f.Add([]byte("some avg10=0.00 avg60=1.50 avg300=0.25 total=123456\nfull avg10=0.00 total=7890\n"))
	f.Add([]byte("some avg10=0.00 total=18446744073709551615\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := parsePressure(b)
		for _, a := range []oom.Amount{p.WaitingMicros, p.StalledMicros} {
			if n, ok := a.Get(); ok && n < oom.MaxAmount { // which stands for all above it.
				if !bytes.Contains(b, []byte(strconv.FormatUint(n, 10))) || !bytes.Contains(b, []byte("total=")) {
					t.Errorf("%q: got %d", b, n)
				}
			}
		}
	})
}

func FuzzParsePIDs(f *testing.F) {
	f.Add([]byte("1\n22\n333\n"), 3)
	f.Add([]byte("0\n\nx\n99999999999\n5"), 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, rest := parsePIDs(nil, b)
		if bytes.IndexByte(rest, '\n') >= 0 || !bytes.HasSuffix(b, rest) {
			t.Errorf("%q: rest is %q", b, rest)
		}
		if cut < 0 || cut > len(b) {
			return
		}
		// Reading in two pieces must give the same.
		parts, carried := parsePIDs(nil, b[:cut])
		parts, _ = parsePIDs(parts, append(bytes.Clone(carried), b[cut:]...))
		if len(parts) != len(whole) {
			t.Fatalf("%q cut at %d: got %v, want %v", b, cut, parts, whole)
		}
		for i, pid := range parts {
			if pid != whole[i] || pid <= 0 {
				t.Errorf("%q cut at %d: got %v, want %v", b, cut, parts, whole)
			}
		}
	})
}

func FuzzParseNodes(f *testing.F) {
	f.Add([]byte("0-3,5\n"))
	f.Add([]byte("0-4096,0-4096,0-4096"))
	f.Fuzz(func(t *testing.T, b []byte) {
		nodes, _ := parseNodes(nil, b)
		if len(nodes) > maxNode+1 {
			t.Errorf("%q: %d nodes", b, len(nodes))
		}
		for _, n := range nodes {
			if n < 0 || n > maxNode {
				t.Errorf("%q: node %d", b, n)
			}
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestEviction(t *testing.T) {
	threshold := func(text string) Threshold {
		parsed, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, c := range []struct {
		name      string
		version   int
		mode      EvictionMode
		threshold string
		change    func(*oom.Node, *oom.Group)
		available int64 // MiB; -1: unknown.
		margin    int64
		huge      HugepageMode
	}{
		{"v1 root usage", 1, EvictionStat, "100Mi", nil, 4096 - 1700, 2296, HugepagesOff},
		{"v1 has one way", 1, EvictionFree, "100Mi", nil, 4096 - 1700, 2296, HugepagesOff},
		{"v2 anon and file", 2, EvictionStat, "100Mi", nil, 4096 - 1200, 2796, HugepagesOff},
		{"v2 older kubelet", 2, EvictionFree, "100Mi", nil, 4096 - 2796, 1200, HugepagesOff},
		{"percent", 2, EvictionStat, "25%", nil, 2896, 2896 - 1024, HugepagesOff},
		{"below the threshold", 2, EvictionStat, "2900Mi", nil, 2896, -4, HugepagesOff},
		{"working set is never negative", 2, EvictionStat, "1Mi", func(_ *oom.Node, g *oom.Group) { g.Stat.InactiveFile = oom.Of(9 * gib) }, 4096, 4095, HugepagesOff},
		{"available is never negative", 2, EvictionStat, "1Mi", func(_ *oom.Node, g *oom.Group) { g.Stat.Anon = oom.Of(9 * gib) }, 0, -1, HugepagesOff},
		{"no stat", 2, EvictionStat, "1Mi", func(_ *oom.Node, g *oom.Group) { g.Stat.Anon = oom.Amount{} }, -1, 0, HugepagesOff},
		{"no inactive_file", 2, EvictionStat, "1Mi", func(_ *oom.Node, g *oom.Group) { g.Stat.InactiveFile = oom.Amount{} }, -1, 0, HugepagesOff},
		{"no MemTotal", 1, EvictionStat, "1Mi", func(n *oom.Node, _ *oom.Group) { n.Total = oom.Amount{} }, -1, 0, HugepagesOff},
		{"no MemFree", 2, EvictionFree, "1Mi", func(n *oom.Node, _ *oom.Group) { n.Free = oom.Amount{} }, -1, 0, HugepagesOff},
		{"v2 since 1.37", 2, EvictionStat, "100Mi", nil, 4096 - 1200 - 300, 2496, HugepagesOn},
		{"v1 since 1.37", 1, EvictionStat, "100Mi", nil, 4096 - 1700 - 300, 1996, HugepagesAuto},
		{"a kubelet without cgroup statistics is older", 2, EvictionFree, "100Mi", nil, 4096 - 2796, 1200, HugepagesAuto},
		{"unless it is said to be not", 2, EvictionFree, "100Mi", nil, 4096 - 2796 - 300, 900, HugepagesOn},
		{"more hugepages than is left", 2, EvictionStat, "100Mi", func(n *oom.Node, _ *oom.Group) { n.Hugepages = oom.Of(3 * gib) }, 0, -100, HugepagesAuto},
		{"no hugepages in this kernel", 2, EvictionStat, "100Mi", func(n *oom.Node, _ *oom.Group) { n.Hugepages = oom.Amount{} }, 2896, 2796, HugepagesOn},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := &oom.Node{Total: oom.Of(4096 * mib), Free: oom.Of(1000 * mib), Hugepages: oom.Of(300 * mib)}
			root := oom.Group{Parent: -1, Usage: oom.Of(2000 * mib), Stat: oom.Stat{
				Anon: oom.Of(1000 * mib), File: oom.Of(500 * mib), InactiveFile: oom.Of(300 * mib), ActiveFile: oom.Of(50 * mib),
			}}
			if c.change != nil {
				c.change(node, &root)
			}
			tree := &oom.Tree{Version: c.version, Groups: []oom.Group{root}}
			available, margin, ok := Kubelet{threshold(c.threshold), c.mode, c.huge}.Eviction(node, tree)
			if want := c.available >= 0; ok != want {
				t.Fatalf("known: %v, want %v", ok, want)
			}
			if got, _ := available.Get(); ok && (int64(got) != c.available*mib || margin != c.margin*mib) {
				t.Errorf("available %d MiB, margin %d MiB; want %d, %d", got/mib, margin/mib, c.available, c.margin)
			}
		})
	}
	if _, _, ok := (Kubelet{}).Eviction(&oom.Node{Total: oom.Of(gib)}, &oom.Tree{Version: 1}); ok {
		t.Error("a tree without a root gave an eviction margin")
	}
}

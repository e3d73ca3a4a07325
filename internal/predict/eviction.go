// SPDX-License-Identifier: Apache-2.0

package predict

import "github.com/oom-exporter/oom_exporter/internal/oom"

// EvictionMode says how kubelet gets the node's usage on cgroup v2.
type EvictionMode uint8

// The ways in which kubelet gets the node's usage; on v1 it is the root cgroup's.
const (
	EvictionStat EvictionMode = iota // anon + file of the root's memory.stat.
	EvictionFree                     // MemTotal - MemFree: older kubelets.
)

// HugepageMode says whether kubelet subtracts the node's hugepages from
// memory.available. It does since 1.37, unless its feature gate
// HugepageAwareEviction is off.
type HugepageMode uint8

// The settings of --eviction.hugepages.
const (
	HugepagesAuto HugepageMode = iota // on, unless EvictionFree says that kubelet is older.
	HugepagesOn
	HugepagesOff
)

// Kubelet is how kubelet was set up to evict.
type Kubelet struct {
	Threshold Threshold // the hard one of memory.available.
	Usage     EvictionMode
	Hugepages HugepageMode
}

// Eviction is kubelet's own arithmetic: memory.available, and how far it is
// above the hard eviction threshold (negative: kubelet evicts). It is not
// MemAvailable: it counts all of inactive_file and nothing of active_file.
func (k Kubelet) Eviction(node *oom.Node, tree *oom.Tree) (available oom.Amount, margin int64, ok bool) {
	total, ok := node.Total.Get()
	if !ok || len(tree.Groups) == 0 {
		return oom.Amount{}, 0, false
	}
	root := &tree.Groups[0]
	usage, ok := rootUsage(node, tree, k.Usage).Get()
	inactive, ok2 := root.Stat.InactiveFile.Get()
	if !ok || !ok2 {
		return oom.Amount{}, 0, false
	}
	workingSet := usage - min(usage, inactive)
	left := total - min(total, workingSet)
	left -= min(left, k.hugepages(node))
	return oom.Of(left), signed(left) - signed(k.Threshold.Bytes(total)), true
}

// hugepages is the capacity of all hugepage pools where kubelet subtracts it: they
// are in MemTotal, but not in what it takes for the usage.
func (k Kubelet) hugepages(node *oom.Node) uint64 {
	if k.Hugepages == HugepagesOff || k.Hugepages == HugepagesAuto && k.Usage == EvictionFree {
		return 0
	}
	return node.Hugepages.Or(0)
}

func rootUsage(node *oom.Node, tree *oom.Tree, mode EvictionMode) oom.Amount {
	root := &tree.Groups[0]
	if tree.Version == 1 {
		return root.Usage
	}
	if mode == EvictionStat {
		return root.Stat.Anon.Plus(root.Stat.File)
	}
	total, ok := node.Total.Get()
	free, ok2 := node.Free.Get()
	if !ok || !ok2 {
		return oom.Amount{}
	}
	return oom.Of(total - min(total, free))
}

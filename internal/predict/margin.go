// SPDX-License-Identifier: Apache-2.0

package predict

import "github.com/oom-exporter/oom_exporter/internal/oom"

// Margin is how much may still be allocated before the kernel must kill.
type Margin struct {
	Bytes uint64
	Ratio float64   // of the binding limit.
	Level oom.Level // of the binding limit.
	Group int       // index of the group whose limit binds, Node for the node.
	Known bool      // else a part of the sum could not be read.
}

// Margins are those of one snapshot.
type Margins struct {
	Node          Margin
	Groups        []Margin     // by index in Tree.Groups.
	Unreclaimable []oom.Amount // what reclaim cannot free of each group's usage.
}

// Compute returns the kill margin of every group: the smallest of what its own
// limit, its ancestors' limits, its NUMA nodes and the node leave. A smaller
// index never depends on a larger one, so one pass in pre-order will do.
func Compute(node *oom.Node, tree *oom.Tree) Margins {
	w := walk{
		node:   node,
		tree:   tree,
		ends:   subtreeEnds(tree),
		paths:  make([]path, len(tree.Groups)),
		keeps:  protects(tree),
		pinned: pinnedSlab(tree),
	}
	out := Margins{
		Groups:        make([]Margin, len(tree.Groups)),
		Unreclaimable: make([]oom.Amount, len(tree.Groups)),
	}
	w.kept = w.keep(0)
	out.Node = w.nodeMargin()
	w.nodeLeft = out.Node
	for i := range tree.Groups {
		out.Unreclaimable[i] = w.step(i)
		out.Groups[i] = w.margin(i)
	}
	return out
}

// margin returns the kill margin of group i, whose path is filled in.
func (w *walk) margin(i int) Margin {
	p := &w.paths[i]
	if !p.known {
		return Margin{Group: Node}
	}
	best := w.nodeLeft
	if p.numa >= 0 {
		best = tighter(w.numa[p.numa], best)
	}
	if p.binding < 0 {
		return best
	}
	swap := w.pathSwap(p)
	binding := int(p.binding)
	if addRoom(p.room, swap) <= 0 {
		binding = w.lowestFull(i, swap)
	}
	g := &w.tree.Groups[binding]
	bytes := uint64(max(0, addRoom(p.room, swap)))
	return tighter(Margin{
		Bytes: bytes,
		Ratio: ratio(bytes, w.paths[binding].limit),
		Level: levelOf(g.Kind),
		Group: binding,
		Known: true,
	}, best)
}

// lowestFull returns the innermost group of the path that has no room left:
// the charge fails there first.
func (w *walk) lowestFull(i int, swap uint64) int {
	for ; i >= 0; i = int(w.paths[i].parent) {
		if p := &w.paths[i]; p.limited && addRoom(p.own, swap) <= 0 {
			return i
		}
	}
	return 0
}

// tighter returns the smaller of a lower level's margin and a higher one's.
func tighter(low, high Margin) Margin {
	if !high.Known || low.Known && low.Bytes <= high.Bytes {
		return low
	}
	return high
}

func levelOf(kind oom.Kind) oom.Level {
	switch kind {
	case oom.KindPart:
		return oom.LevelNested
	case oom.KindContainer, oom.KindSandbox:
		return oom.LevelContainer
	case oom.KindPod:
		return oom.LevelPod
	default:
		return oom.LevelSlice
	}
}

func ratio(bytes, limit uint64) float64 {
	if limit == 0 {
		return 0
	}
	return float64(bytes) / float64(limit)
}

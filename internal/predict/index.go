// SPDX-License-Identifier: Apache-2.0

package predict

import "github.com/oom-exporter/oom_exporter/internal/oom"

// Index is one snapshot's processes, sorted by group, so that many scopes can
// be asked without a pass over all processes for each. It keeps the passed
// node, tree and processes; exact changes the processes in place. It is not
// safe for concurrent use.
type Index struct {
	rules Rules
	node  *oom.Node
	tree  *oom.Tree
	procs []oom.Process

	ends    []int32 // per group: the index after its last descendant.
	order   []int32 // process indexes, by group.
	first   []int32 // per group: where its processes begin in order.
	bounds  []bound // per group: what its processes may have beyond their RSS.
	unknown bound   // the same for a process of no known group.
}

// Index sorts the processes for Choose and Top.
func (r Rules) Index(node *oom.Node, tree *oom.Tree, procs []oom.Process) *Index {
	x := &Index{rules: r, node: node, tree: tree, procs: procs, ends: subtreeEnds(tree)}
	n := len(tree.Groups)
	x.first = make([]int32, n+1)
	for i := range procs {
		if g := procs[i].Group; g >= 0 && int(g) < n {
			x.first[g+1]++
		}
	}
	for g := range n {
		x.first[g+1] += x.first[g]
	}
	x.order = make([]int32, x.first[n])
	next := append([]int32(nil), x.first[:n]...)
	for i := range procs {
		if g := procs[i].Group; g >= 0 && int(g) < n {
			x.order[next[g]] = int32(i)
			next[g]++
		}
	}
	x.setBounds()
	return x
}

// subtreeEnds returns for each group the index after its last descendant;
// the tree is in pre-order, so a subtree is a contiguous range.
func subtreeEnds(tree *oom.Tree) []int32 {
	ends := make([]int32, len(tree.Groups))
	for i := len(ends) - 1; i >= 0; i-- {
		ends[i] = max(ends[i], int32(i+1))
		if parent := tree.Groups[i].Parent; parent >= 0 && parent < i {
			ends[parent] = max(ends[parent], ends[i])
		}
	}
	return ends
}

// groupRange is the range of groups whose processes belong to a group's
// scope: its subtree, but only itself where a v1 group does not count its
// descendants.
func (x *Index) groupRange(scope int) (from, to int32) {
	if x.tree.Version == 1 && scope > 0 && !x.tree.Groups[scope].Hierarchical {
		return int32(scope), int32(scope + 1)
	}
	return int32(scope), x.ends[scope]
}

// Members returns the indexes of the processes that a group's limit can kill.
func (x *Index) Members(scope int) []int32 { return x.members(scope) }

// members returns the indexes of a group scope's processes.
func (x *Index) members(scope int) []int32 {
	from, to := x.groupRange(scope)
	return x.order[x.first[from]:x.first[to]]
}

// SPDX-License-Identifier: Apache-2.0

package host

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// nestedLimits finds the containers inside which another limit is at least as near as
// their own: that of a unit inside a system container, a step inside a job, a service
// inside a container. It maps the index of each such container to that of the group with
// the nearest such limit. A limit counts only if its group has processes, or if none of
// the container's processes can be seen, as in another pid namespace.
func nestedLimits(tree *oom.Tree, margins []predict.Margin, hasProcesses []bool) map[int]int {
	var nearest map[int]int
	for i := range margins {
		g, m := &tree.Groups[i], &margins[i]
		if g.Kind != oom.KindPart || !m.Known || m.Group != i || !isBelow(tree, i, g.Owner) {
			continue
		}
		if !hasProcesses[i] && hasProcesses[g.Owner] {
			continue
		}
		best, ok := nearest[g.Owner]
		if !ok {
			best = g.Owner
		}
		if margins[best].Known && margins[best].Bytes < m.Bytes {
			continue
		}
		if nearest == nil {
			nearest = map[int]int{}
		}
		nearest[g.Owner] = i
	}
	return nearest
}

// withProcesses tells for each group whether it or a descendant has processes.
func withProcesses(tree *oom.Tree) []bool {
	has := make([]bool, len(tree.Groups))
	for i := len(has) - 1; i >= 0; i-- {
		g := &tree.Groups[i]
		has[i] = has[i] || len(g.PIDs) > 0
		if g.Parent >= 0 && g.Parent < i {
			has[g.Parent] = has[g.Parent] || has[i]
		}
	}
	return has
}

// isBelow tells whether group i is a descendant of the other one.
func isBelow(tree *oom.Tree, i, other int) bool {
	for i > other && i > 0 && tree.Groups[i].Parent < i {
		if i = tree.Groups[i].Parent; i == other {
			return true
		}
	}
	return false
}

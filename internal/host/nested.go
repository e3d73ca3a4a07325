// SPDX-License-Identifier: Apache-2.0

package host

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// nestedLimits finds the containers in which a limit below their own is at least
// as near: of a unit inside a system container, a step inside a job, a service
// inside a container. It returns, by the container's index, that of the group
// with the nearest such limit.
func nestedLimits(tree *oom.Tree, margins []predict.Margin) map[int]int {
	var nearest map[int]int
	for i := range margins {
		g, m := &tree.Groups[i], &margins[i]
		if g.Kind != oom.KindPart || !m.Known || m.Group != i || !isBelow(tree, i, g.Owner) || !binds(tree, i, g.Owner) {
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

// binds tells whether group i limits any of the owner's processes. Where none of
// them is seen, which is so in another pid namespace, it may.
func binds(tree *oom.Tree, i, owner int) bool {
	return hasProcesses(tree, i) || !hasProcesses(tree, owner)
}

// hasProcesses tells whether group i has processes, itself or below.
func hasProcesses(tree *oom.Tree, i int) bool {
	for k := i; k < len(tree.Groups) && (k == i || isBelow(tree, k, i)); k++ {
		if len(tree.Groups[k].PIDs) > 0 {
			return true
		}
	}
	return false
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

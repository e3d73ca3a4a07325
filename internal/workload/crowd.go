// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"slices"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// Limits bound the rows of a tree: of containers, pods and limited slices. A zero
// is no bound.
type Limits struct {
	Rows int // of the whole tree.
	// Share is how many of them one territory may have: what is below a user's
	// slice, or below a directory that was given to a user other than root.
	Share int
}

// FoldCrowds makes one row of many where the territories of users have more rows
// than they may: first of those below the cgroup that holds the most, and so on.
// That cgroup is then a workload and the others are parts of it, so no usage is
// counted twice. What kubelet, the runtimes and systemd made for root is never
// folded. Tree.Folded says how many rows are gone; the tree must have been
// classified.
func FoldCrowds(tree *oom.Tree, limits Limits) {
	tree.Folded = 0
	n := len(tree.Groups)
	if (limits.Rows <= 0 || n <= limits.Rows) && (limits.Share <= 0 || n <= limits.Share) {
		return
	}
	f := crowds{groups: tree.Groups}
	territories, others := f.territories()
	for root, share := range f.shares(territories, others, limits) {
		tree.Folded += f.fold(root, territories[root], share)
	}
}

type crowds struct {
	groups []oom.Group
}

// isRow tells whether the group has series of its own. A slice has some where it
// has a limit, which not every tree tells; a user's is taken to have one.
func (f *crowds) isRow(i int) bool {
	g := &f.groups[i]
	return g.Owner == i && (g.Kind == oom.KindContainer || g.Kind == oom.KindPod || g.Kind == oom.KindSlice)
}

// territories returns the rows of each territory by the index of its root, and
// how many rows there are elsewhere.
func (f *crowds) territories() (rows map[int][]int, others int) {
	root := make([]int32, len(f.groups)) // of the territory that the group is in, 0 for none.
	for i := 1; i < len(f.groups); i++ {
		g := &f.groups[i]
		if g.Parent > 0 && g.Parent < i {
			root[i] = root[g.Parent]
		}
		if root[i] == 0 && f.begins(i) {
			root[i] = int32(i)
		}
		switch {
		case !f.isRow(i):
		case root[i] == 0:
			others++
		default:
			if rows == nil {
				rows = map[int][]int{}
			}
			rows[int(root[i])] = append(rows[int(root[i])], i)
		}
	}
	return rows, others
}

// begins tells whether a territory begins at the group.
func (f *crowds) begins(i int) bool {
	g := &f.groups[i]
	if g.Kind == oom.KindPart || g.Parent < 0 || g.Parent >= i {
		return false
	}
	if delegated(g, &f.groups[0]) {
		return true
	}
	parent := f.groups[g.Parent].Path
	name := segmentBelow(parent, g.Path)
	uid, ok := cutAround(name, "user-", ".slice")
	return ok && isNumber(uid) && segmentBelow("", parent) == "user.slice"
}

// shares says how many rows each territory may have. Where the whole tree may
// have fewer than all of them want, those that want little get all of it.
func (f *crowds) shares(territories map[int][]int, others int, limits Limits) map[int]int {
	roots := make([]int, 0, len(territories))
	for root := range territories {
		roots = append(roots, root)
	}
	slices.SortFunc(roots, func(a, b int) int {
		return cmp.Or(len(territories[a])-len(territories[b]), a-b)
	})
	left := limits.Rows - others
	shares := make(map[int]int, len(roots))
	for i, root := range roots {
		share := len(territories[root])
		if limits.Share > 0 {
			share = min(share, limits.Share)
		}
		if limits.Rows > 0 {
			share = min(share, max(left/(len(roots)-i), 1))
			left -= share
		}
		shares[root] = share
	}
	return shares
}

// fold leaves no more than most of the rows of root's territory.
func (f *crowds) fold(root int, rows []int, most int) (folded uint64) {
	before := len(rows)
	for len(rows) > most {
		below := map[int]int{} // rows by the group that holds them.
		for _, i := range rows {
			if i != root {
				below[f.groups[i].Parent]++
			}
		}
		heads := make([]int, 0, len(below))
		for i := range below {
			heads = append(heads, i)
		}
		if len(heads) == 0 {
			break
		}
		// Of those that hold equally many, descendants come before their ancestors.
		slices.SortFunc(heads, func(a, b int) int { return cmp.Or(below[b]-below[a], b-a) })
		rows = f.gather(neededHeads(heads, below, len(rows)-most), rows, root)
	}
	return uint64(before - len(rows))
}

// neededHeads returns the heads to fold to lose that many rows, where one row is left
// for each head; only those that hold more than half as many as the first.
func neededHeads(heads []int, below map[int]int, lose int) []int {
	for n, i := range heads {
		if lose <= 0 || below[i] <= below[heads[0]]/2 {
			return heads[:n]
		}
		lose -= max(below[i]-1, 1)
	}
	return heads
}

// gather makes the heads rows, and what is below them parts of them. It returns the
// rows that are left.
func (f *crowds) gather(heads, rows []int, root int) []int {
	isHead, isRow := make(map[int]bool, len(heads)), make(map[int]bool, len(rows))
	for _, i := range heads {
		isHead[i] = true
	}
	for _, i := range rows {
		isRow[i] = true
	}
	at := map[int]int{} // the uppermost head above a group, or itself.
	var left []int
	for i := root; i < len(f.groups); i++ {
		g := &f.groups[i]
		above, ok := at[g.Parent]
		switch {
		case i != root && g.Parent < root: // past the territory: groups are in pre-order.
			return left
		case ok:
			at[i] = above
			g.Kind, g.Owner, g.Identity = oom.KindPart, above, f.groups[above].Identity
		case isHead[i]:
			at[i] = i
			f.become(i)
			left = append(left, i)
		case isRow[i]:
			left = append(left, i)
		}
	}
	return left
}

// become makes a row of the group, which goes by its path.
func (f *crowds) become(i int) {
	g := &f.groups[i]
	g.Kind, g.Owner = oom.KindContainer, i
	g.Identity = oom.Identity{Workload: oom.Workload{Container: crowdName(g.Path)}}
}

// crowdName is the label of a group that stands for all below it: in the territory
// of a user, it begins with the user's manager.
func crowdName(path string) string {
	switch p := ParsePath(path); p.realm {
	case "":
		return text.Label(path)
	case p.segment, "user@" + strings.TrimSuffix(strings.TrimPrefix(p.segment, "user-"), ".slice") + ".service":
		return p.realm
	default:
		return text.Label(p.realm + "/" + foldTokens(p.segment))
	}
}

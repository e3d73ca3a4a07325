// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// All cgroups are named soon after some are new, and then again and again: a name
// may become known late. The gap doubles each time.
const (
	nameGapLeast = 2 * time.Second
	nameGapMost  = 2 * time.Minute
)

// find brings the tracks up to date with the cgroups that there are. What is new
// is sampled at once: it may not live until the next second.
func (r *Recorder) find(at stamp) {
	gone, found, err := r.o.Source.Find(func(h oom.CgroupHandle) bool {
		return int(h) < len(r.byHandle) && r.byHandle[h] != nil && r.isQuiet(at, r.byHandle[h])
	})
	r.foundAt = r.now()
	r.report("find", "cannot list memory cgroups", err)
	if err != nil {
		return
	}
	if len(gone) > 0 || len(found) > 0 {
		fresh := r.replace(at, gone, found)
		most := len(fresh)
		if r.began {
			most = mostFull
		}
		r.read(fresh, most)
		if len(found) > 0 {
			r.nameGap = nameGapLeast
		}
	}
	r.dropGone(at)
	if r.o.Names != nil && (!r.began || at.since(r.named) >= r.nameGap) {
		r.named, r.nameGap = at, min(2*r.nameGap, nameGapMost)
		r.name()
	}
}

// replace takes out the tracks of cgroups that are gone, and puts in new ones,
// which it returns.
func (r *Recorder) replace(at stamp, gone []oom.CgroupHandle, found []oom.FoundCgroup) []*track {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range gone {
		if int(h) < len(r.byHandle) && r.byHandle[h] != nil {
			t := r.byHandle[h]
			t.gone, t.goneAt, t.fast = true, at, false
			r.byHandle[h] = nil
			r.gone = append(r.gone, t)
		}
	}
	isGone := func(t *track) bool { return t.gone }
	r.live = slices.DeleteFunc(r.live, isGone)
	r.near = slices.DeleteFunc(r.near, isGone)
	fresh := make([]*track, 0, len(found))
	for _, f := range found {
		t := newTrack(f, at)
		t.isBorn = r.began
		if f.Parent >= 0 {
			t.up = r.byHandle[f.Parent]
		}
		if t.up != nil {
			t.up.isParent = true
		}
		if saved, ok := r.restored[f.GroupID]; ok {
			t.coarse = saved.coarse
			if saved.isBorn {
				t.isBorn, t.found = true, saved.found
			}
		}
		for len(r.byHandle) <= int(f.Handle) {
			r.byHandle = append(r.byHandle, nil)
		}
		r.byHandle[f.Handle] = t
		r.byPath[f.Path] = append(r.byPath[f.Path], t)
		fresh = append(fresh, t)
	}
	r.restored = nil // cgroups that have not been found by now are gone.
	r.live = insertSorted(r.live, fresh)
	for i, t := range r.live {
		t.index = i
	}
	r.levels = levelsOf(r.live, r.levels)
	return fresh
}

// insertSorted puts tracks where a walk of the tree meets them. Where a few are
// added to very many, sorting all again would take longer than everything else.
func insertSorted(live, fresh []*track) []*track {
	if len(fresh) > len(live)/16 {
		live = append(live, fresh...)
		slices.SortFunc(live, func(a, b *track) int { return comparePaths(a.Path, b.Path) })
		return live
	}
	for _, t := range fresh {
		i, _ := slices.BinarySearchFunc(live, t.Path, func(a *track, path string) int { return comparePaths(a.Path, path) })
		live = slices.Insert(live, i, t)
	}
	return live
}

// levelsOf groups tracks by depth, reusing the memory of levels.
func levelsOf(live []*track, levels [][]*track) [][]*track {
	for i := range levels {
		levels[i] = levels[i][:0]
	}
	for _, t := range live {
		depth := 0
		for up := t.up; up != nil; up = up.up {
			depth++
		}
		for len(levels) <= depth {
			levels = append(levels, nil)
		}
		levels[depth] = append(levels[depth], t)
	}
	return levels
}

// comparePaths orders paths as a walk of the tree does: /a/b, which is below /a,
// comes before /a-b, which only has a longer name.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		case a[i] < b[i]:
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// dropGone forgets cgroups that went long ago, and the oldest if there are too many.
func (r *Recorder) dropGone(at stamp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.gone) && (at.since(r.gone[n].goneAt) > goneFor || len(r.gone)-n > mostGone) {
		t := r.gone[n]
		rest := slices.DeleteFunc(r.byPath[t.Path], func(x *track) bool { return x == t })
		if r.byPath[t.Path] = rest; len(rest) == 0 {
			delete(r.byPath, t.Path)
		}
		n++
	}
	r.gone = slices.Delete(r.gone, 0, n)
}

// name sets the kind, workload and owner of all live cgroups.
func (r *Recorder) name() {
	tree := oom.Tree{Groups: make([]oom.Group, len(r.live))}
	for i, t := range r.live {
		parent := -1
		if t.up != nil {
			parent = t.up.index
		}
		tree.Groups[i] = oom.Group{GroupID: t.GroupID, Parent: parent, Owner: i, UID: t.UID}
	}
	if len(tree.Groups) == 0 {
		return
	}
	r.o.Names(&tree)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, t := range r.live {
		g := &tree.Groups[i]
		t.kind, t.workload, t.owner = g.Kind, g.Workload, r.live[g.Owner]
	}
}

// isWithin tells whether path is base or below it.
func isWithin(path, base string) bool {
	return base == "/" || strings.HasPrefix(path, base) && (len(path) == len(base) || path[len(base)] == '/')
}

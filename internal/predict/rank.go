// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"container/heap"
	"slices"
)

// candidate is a process with its badness, or an upper bound on it.
type candidate struct {
	badness int64
	proc    int32
}

// byBadness is a max-heap.
type byBadness []candidate

func (h byBadness) Len() int           { return len(h) }
func (h byBadness) Less(i, j int) bool { return h[i].badness > h[j].badness }
func (h byBadness) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byBadness) Push(c any)        { *h = append(*h, c.(candidate)) }
func (h *byBadness) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}

// rank returns the n processes of the scope that the OOM killer prefers, best
// first. It takes the candidates by descending upper bound on their badness, and
// stops when the next can no longer beat the n-th.
func (x *Index) rank(scope, n int, exact func(i int) error) []candidate {
	if n <= 0 {
		return nil
	}
	total := x.rules.Total(x.node, x.tree, scope)
	nodeTotal := x.rules.Total(x.node, x.tree, Node)
	upper := x.candidates(scope, total, exact != nil)
	best := make([]candidate, 0, min(n, len(upper)))
	for len(upper) > 0 {
		next := upper[0]
		if len(best) == n && next.badness < best[n-1].badness {
			break
		}
		if last := len(upper) - 1; last > 0 {
			upper[0] = upper[last]
			upper = upper[:last]
			heap.Fix(&upper, 0)
		} else {
			upper = nil
		}
		if p := &x.procs[next.proc]; exact != nil && !p.Exact {
			stale := p.Stale
			if exact(int(next.proc)) != nil {
				continue
			}
			// Once freshened, it may have fallen behind others. One that exact left
			// stale is ranked as it is: asking again might never end.
			if !p.Exact && stale && !p.Stale {
				if x.rules.eligible(p) {
					heap.Push(&upper, candidate{x.rules.badness(x.rawUpper(p, nodeTotal), p.Adj, total), next.proc})
				}
				continue
			}
		}
		badness, ok := x.rules.Badness(&x.procs[next.proc], total, max(1, x.node.PageSize))
		if !ok {
			continue
		}
		best = x.insert(best, candidate{badness, next.proc}, n, scope == Node)
	}
	return best
}

// candidates returns a heap of the eligible processes by badness: by an upper
// bound on it if an exact pass is to come, else by what is known.
func (x *Index) candidates(scope int, total uint64, toCome bool) byBadness {
	var heaped byBadness
	nodeTotal := x.rules.Total(x.node, x.tree, Node)
	add := func(i int32) {
		p := &x.procs[i]
		if !x.rules.eligible(p) {
			return
		}
		raw := x.raw(p)
		if toCome {
			raw = x.rawUpper(p, nodeTotal)
		}
		heaped = append(heaped, candidate{x.rules.badness(raw, p.Adj, total), i})
	}
	if scope == Node {
		heaped = make(byBadness, 0, len(x.procs))
		for i := range x.procs {
			add(int32(i))
		}
	} else {
		members := x.members(scope)
		heaped = make(byBadness, 0, len(members))
		for _, i := range members {
			add(i)
		}
	}
	heap.Init(&heaped)
	return heaped
}

// insert keeps best sorted and no longer than n.
func (x *Index) insert(best []candidate, c candidate, n int, global bool) []candidate {
	at, _ := slices.BinarySearchFunc(best, c, func(a, b candidate) int {
		if a.badness != b.badness {
			return cmpBool(a.badness < b.badness)
		}
		return cmpBool(!x.beats(a.proc, b.proc, global))
	})
	if at == n {
		return best
	}
	if len(best) == n {
		best = best[:n-1]
	}
	return slices.Insert(best, at, c)
}

func cmpBool(after bool) int {
	if after {
		return 1
	}
	return -1
}

// beats decides between equals: the kernel keeps the first or the last that
// its scan meets.
func (x *Index) beats(a, b int32, global bool) bool {
	return x.before(a, b, global) != x.rules.lastWins
}

// before is the order of the kernel's scan: in a global OOM, all tasks by age;
// in a memcg OOM, cgroups in pre-order, then tasks by when they joined, for
// which their age stands in.
func (x *Index) before(a, b int32, global bool) bool {
	p, q := &x.procs[a], &x.procs[b]
	if !global && p.Group != q.Group {
		return x.groupBefore(p.Group, q.Group)
	}
	if p.Start != q.Start {
		return p.Start < q.Start
	}
	return p.PID < q.PID
}

// groupBefore is the kernel's pre-order of two cgroups. The kernel keeps siblings
// in the order of their creation, which a tree read by name does not have but
// inode numbers show.
func (x *Index) groupBefore(a, b int32) bool {
	groups := x.tree.Groups
	within := func(child, parent int32) bool { return parent <= child && child < x.ends[parent] }
	if within(a, b) || within(b, a) {
		return a < b // an ancestor comes before its descendants.
	}
	climb := func(from, other int32) int32 {
		for p := int32(groups[from].Parent); p >= 0 && !within(other, p); p = int32(groups[from].Parent) {
			from = p
		}
		return from
	}
	a, b = climb(a, b), climb(b, a)
	if groups[a].Inode != groups[b].Inode && groups[a].Inode != 0 && groups[b].Inode != 0 {
		return groups[a].Inode < groups[b].Inode
	}
	return a < b
}

// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"cmp"
	"math"
	"slices"

	"github.com/go-kit/log/level"
)

// takeScan makes the watch list what the last scan found.
func (g *Guard) takeScan() {
	g.mu.Lock()
	tree := g.tree
	g.tree = nil
	g.mu.Unlock()
	if tree == nil {
		return
	}
	g.changed = true
	observed, missed := g.o.Bell.Observe(tree)
	if missed {
		g.wantScan()
	}
	if g.observed && !observed {
		_ = level.Warn(g.o.Logger).Log("msg", "can't watch for new cgroups and limits; scanning for them now and then", "every", blindScan,
			"remedy", "raise fs.inotify.max_user_watches")
	}
	g.observed = observed
	if !g.observed {
		g.mu.Lock()
		g.every = min(g.every, blindScan)
		g.mu.Unlock()
	}
	if g.o.Tops != nil {
		for path, usage := range g.o.Tops.Tops() {
			if g.tops[path] == nil {
				g.tops[path] = &top{usage: usage, alarm: math.MaxUint64, known: true}
			}
		}
	}
	list := targets(tree, g.margin(), &g.o.Filter)
	wanted := make(map[string]bool, len(list))
	for _, t := range list {
		wanted[t.Path] = true
		g.want(t, tree.Version)
	}
	for path, token := range g.byPath {
		if !wanted[path] && !g.watched[token].busy {
			g.drop(token)
		}
	}
	g.publish(list)
	if !g.ready.Load() && len(list) > 0 {
		g.running.Go(func() { g.rehearse(list) })
	}
}

// rehearsals bounds the groups that are tried to find one with a process.
const rehearsals = 20

// rehearse goes through a look without consequences, so that the first one that
// counts does not wait for pages of this program to be read from a disk.
func (g *Guard) rehearse(list []Target) {
	for _, t := range list[:min(len(list), rehearsals)] {
		group, err := g.o.Kernel.Group(t.Path)
		if err != nil {
			continue
		}
		_, _ = reclaimable(&group)
		members, err := g.o.Kernel.Members(&group)
		if err != nil || len(members.Procs) == 0 {
			continue
		}
		g.choose(&Action{Target: t, Policy: g.o.Policy}, &members)
		_, _ = g.o.Kernel.Recheck(t.GroupID)
		g.ready.Store(true)
		return
	}
}

// want watches a target, or brings what is known of it up to date.
func (g *Guard) want(t Target, version int) {
	if token, ok := g.byPath[t.Path]; ok {
		w := g.watched[token]
		if w.Inode == t.Inode {
			w.Identity, w.Kind = t.Identity, t.Kind
			if w.Limit != t.Limit {
				w.Limit, w.Threshold = t.Limit, t.Threshold
				g.arm(w)
			}
			return
		}
		g.drop(token)
	}
	g.last++
	meter, err := g.o.Bell.Watch(t.GroupID, g.last)
	if err != nil {
		return // it has gone, or the next scan tries again.
	}
	w := &watched{Target: t, token: g.last, meter: meter, top: g.topOf(t.GroupID), kills: t.kills, probing: probing{needed: version == 1}}
	g.watched[g.last], g.byPath[t.Path] = w, g.last
	g.unarmed++
	g.arm(w)
}

// arm asks the kernel for notices when usage comes near the threshold, and when it has
// reached it. The early mark makes up for the kernel's delay: each CPU compares usage with
// the marks only once in 128 pages.
func (g *Guard) arm(w *watched) {
	ahead := max(4*(w.Limit-w.Threshold), 8<<20)
	w.early = max(w.Threshold/2, w.Threshold-min(w.Threshold, ahead))
	was := w.armed
	// The last mark is for a group that stays over its threshold and grows again.
	w.armed = w.meter.Arm(w.early, w.Threshold, w.Limit-(w.Limit-w.Threshold)/2)
	switch {
	case was && !w.armed:
		g.unarmed++
	case !was && w.armed:
		g.unarmed--
	}
	w.due = g.o.Now()
}

// resize reads a limit that was written.
func (g *Guard) resize(w *watched) {
	group, err := g.o.Kernel.Group(w.Path)
	if err != nil || group.Inode != w.Inode {
		g.wantScan()
		return
	}
	t, ok := newTarget(&group, g.margin())
	if !ok {
		g.drop(w.token)
		return
	}
	if t.Limit != w.Limit {
		w.Limit, w.Threshold = t.Limit, t.Threshold
		g.arm(w)
	}
}

func (g *Guard) drop(token uint32) {
	w := g.watched[token]
	if w == nil {
		return
	}
	w.meter.Close()
	delete(g.watched, token)
	if !w.armed {
		g.unarmed--
	}
	if g.byPath[w.Path] == token {
		delete(g.byPath, w.Path)
	}
}

// publish tells the statistics what is watched.
func (g *Guard) publish(list []Target) {
	slices.SortFunc(list, func(a, b Target) int { return cmp.Compare(a.Path, b.Path) })
	polled := g.unarmed
	g.stats.update(func(s *Stats) { s.Targets, s.Polled = list, polled })
}

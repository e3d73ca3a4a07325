// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// readKills reads only the kill counters of the current cgroup, for ReadKills.
func (p *pass) readKills(g *oom.Group, up level) {
	if p.h.place.version == 2 {
		g.Hierarchical = true
		g.Events = p.readEventsV2()
		return
	}
	if p.h.scope != scopeOwn {
		g.Hierarchical = p.hierarchicalV1(up)
	}
	p.readOOMControlV1(g, up)
}

// readOOMControlV1 reads memory.oom_control. TreeKills stays unset: v1 does not have it.
func (p *pass) readOOMControlV1(g *oom.Group, up level) {
	if n := p.numbers; n != nil && n.KillDisabled.IsSet() {
		g.KillDisabled, g.UnderOOM, g.Events.OwnKills = n.KillDisabled, n.UnderOOM, n.Events.OwnKills
	} else if b, ok := p.readFile(v1OOMControl); ok {
		g.KillDisabled, g.UnderOOM, g.Events.OwnKills = parseOOMControl(b)
	}
	n := p.node
	n.raw = oom.Events{OwnKills: g.Events.OwnKills}
	// The root never counted its descendants' kills (memcg_memory_event).
	n.withChildren = p.h.scope != scopeOwn && g.Hierarchical && up.index >= 0
}

// readEventsV2 reads the counters of the current group.
func (p *pass) readEventsV2() oom.Events {
	n := p.node
	if p.numbers != nil {
		return p.listedEventsV2()
	}
	raw, ok := p.ahead, p.isAhead
	if !ok {
		var b []byte
		if b, ok = p.readFile(v2Events); ok {
			raw = parseEvents(b)
		}
	}
	last := n.raw
	n.raw, n.withChildren = oom.Events{}, false
	if !ok {
		return oom.Events{}
	}
	n.raw = raw
	if !p.due && raw == last && n.events.TreeKills.IsSet() && p.h.hasLocal {
		return n.events // unchanged with descendants included, so its own are too.
	}
	if b, ok := p.readFile(v2EventsLocal); ok {
		p.h.hasLocal = true
		own := parseEvents(b)
		if !p.h.place.localEvents {
			own.TreeKills, own.TreeGroupKills = raw.OwnKills, raw.GroupKills
		}
		return own
	}
	own := raw
	if p.h.scope == scopeTree {
		own.TreeKills = raw.OwnKills
		n.withChildren = true
	}
	return own
}

// listedEventsV2 returns the counters of the current group where they are listed.
func (p *pass) listedEventsV2() oom.Events {
	p.node.raw, p.node.withChildren = p.numbers.Events, false
	own := p.numbers.LocalEvents
	if !p.h.place.localEvents {
		own.TreeKills, own.TreeGroupKills = p.numbers.Events.OwnKills, p.numbers.Events.GroupKills
	}
	return own
}

// subtreeUnchanged tells whether nothing was killed in the current cgroup and its
// descendants since the last pass, and the last pass saw all of them.
func (p *pass) subtreeUnchanged() bool {
	n := p.node
	if p.h.place.version != 2 || !n.complete || !n.events.TreeKills.IsSet() {
		return false
	}
	b, ok := p.readFile(v2Events)
	if !ok {
		return false
	}
	p.ahead, p.isAhead = parseEvents(b), true
	return p.ahead.OwnKills == n.raw.OwnKills && p.ahead.OOMs == n.raw.OOMs && p.ahead.GroupKills == n.raw.GroupKills
}

// repeatLastPass appends n and its descendants to the tree as they were in the last pass.
func (p *pass) repeatLastPass(n *node, parent int) {
	if n.inode == 0 {
		return
	}
	if len(p.tree.Groups) >= p.h.options.MaxGroups {
		p.skipped.GroupsOverBound++
		return
	}
	index := len(p.tree.Groups)
	p.tree.Groups = append(p.tree.Groups, oom.Group{
		GroupID:      oom.GroupID{Path: n.path, Inode: n.inode},
		Parent:       parent,
		Owner:        index,
		UID:          n.uid,
		Events:       n.events,
		Hierarchical: true,
	})
	for _, c := range n.children {
		p.repeatLastPass(c, index)
	}
}

// subtractChildren completes n when its children have been read. Where the kernel's counters
// include descendants, it subtracts the children's counts. If a counter changed
// while the children were read, the last result is kept until the next pass.
func (p *pass) subtractChildren(n *node, fd, index int) {
	e := &p.tree.Groups[index].Events
	if n.withChildren {
		var sum oom.Events
		for _, c := range n.children {
			if c.pass == p.h.pass && c.inode != 0 {
				sum = addEvents(sum, c.raw)
			}
		}
		after := p.rereadCounters(n, fd)
		if after.OwnKills == n.raw.OwnKills && sum.OwnKills.Or(0) > n.raw.OwnKills.Or(0) {
			p.odd = true
		}
		e.OwnKills = ownCount(n.raw.OwnKills, after.OwnKills, sum.OwnKills, n.events.OwnKills)
		if p.h.place.version == 2 {
			e.Max = ownCount(n.raw.Max, after.Max, sum.Max, n.events.Max)
			e.High = ownCount(n.raw.High, after.High, sum.High, n.events.High)
			e.OOMs = ownCount(n.raw.OOMs, after.OOMs, sum.OOMs, n.events.OOMs)
			e.GroupKills = ownCount(n.raw.GroupKills, after.GroupKills, sum.GroupKills, n.events.GroupKills)
		}
	}
	n.events = *e
	if !p.kills {
		p.pinSlab(n, &p.tree.Groups[index])
	}
}

// pinSlab sets how much of n's reclaimable slab the kernel cannot free.
func (p *pass) pinSlab(n *node, g *oom.Group) {
	size, ok := g.Stat.SlabReclaimable.Get()
	if !ok || p.h.options.Parts&PartProtection == 0 {
		return
	}
	s := &n.kept.slab
	if g.Unchanged { // memory.stat was not read.
		g.SlabPinned = s.pinned
		return
	}
	limit, limited := g.Limit.Get()
	g.SlabPinned = s.update(slabReading{
		bytes: size, dentries: p.dentries, machine: p.tree.Groups[0].Stat.SlabReclaimable.Or(0),
		hits: g.Events.Max.Or(s.last.hits), ooms: g.Events.OOMs.Or(s.last.ooms),
		near: limited && g.Usage.Or(0) >= limit-limit/nearLimit,
	})
}

// rereadCounters reads n's counters a second time, after those of its children.
func (p *pass) rereadCounters(n *node, fd int) oom.Events {
	f := v2Events
	if p.h.place.version == 1 {
		f = v1OOMControl
	}
	b, errno := readAt(fd, files[f].name, p.h.buf)
	switch {
	case errno != unix.Errno(0):
		return n.raw
	case f == v2Events:
		return parseEvents(b)
	}
	_, _, kills := parseOOMControl(b)
	return oom.Events{OwnKills: kills}
}

// ownCount returns a counter minus the children's sum, or the last result if the
// counter changed while the children were read.
func ownCount(before, after, sum, last oom.Amount) oom.Amount {
	b, ok := before.Get()
	s := sum.Or(0)
	switch {
	case !ok:
		return oom.Amount{}
	case (before != after || s > b) && last.IsSet():
		return last
	case s > b:
		return oom.Of(0)
	}
	return oom.Of(b - s)
}

// addEvents adds counters; what is unset counts as 0.
func addEvents(a, b oom.Events) oom.Events {
	return oom.Events{
		Max:        sumOfSet(a.Max, b.Max),
		High:       sumOfSet(a.High, b.High),
		OOMs:       sumOfSet(a.OOMs, b.OOMs),
		OwnKills:   sumOfSet(a.OwnKills, b.OwnKills),
		GroupKills: sumOfSet(a.GroupKills, b.GroupKills),
	}
}

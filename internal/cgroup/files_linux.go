// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// readV1 reads the files of a v1 group; see
// Documentation/admin-guide/cgroup-v1/memory.rst.
func (p *pass) readV1(g *oom.Group, up level) {
	g.Usage = p.number(v1Usage)
	g.Limit = p.limitV1(v1Limit)
	p.limited(g.Limit)
	g.AtRest = p.rests(g)
	k := &p.node.kept
	if !g.AtRest {
		k.stat = oom.Stat{}
		if b, ok := p.file(v1Stat); ok {
			parseStatV1(b, &k.stat)
			if p.h.noSwap {
				k.stat.Swap = oom.Amount{}
			}
		}
	}
	if p.isMissing(v1Usage) && p.isMissing(v1Stat) {
		return
	}
	g.Stat = k.stat
	g.Hierarchical = p.hierarchicalV1(up)
	g.Stat.Kernel = p.kernelV1(g)
	if p.due || g.Limit.IsValue() && !g.AtRest {
		k.failcnt = p.number(v1Failcnt) // what has no limit does not hit it.
	}
	g.Events.Max = k.failcnt
	if (g.AtRest || p.deserted()) && p.h.scope == scopeOwn && k.killDisabled.Or(0) == 0 {
		g.KillDisabled, g.UnderOOM, g.Events.OwnKills = k.killDisabled, k.underOOM, k.kills
		return
	}
	p.controlV1(g, up)
	k.killDisabled, k.underOOM, k.kills = g.KillDisabled, g.UnderOOM, g.Events.OwnKills
}

// hierarchicalV1 tells whether use_hierarchy is on. A child of a hierarchical
// group is hierarchical too (mem_cgroup_css_alloc), so from 5.11 on, where it is
// always on, only the root's file is read.
func (p *pass) hierarchicalV1(up level) bool {
	if up.hierarchical {
		return true
	}
	v, ok := p.number(v1Hierarchy).Get()
	return !ok || v != 0
}

// readV2 reads the files of a v2 group. The root has only some of them, and a
// group without the memory controller none: its memory counts for its parent.
func (p *pass) readV2(g *oom.Group) {
	g.Hierarchical = true
	g.Usage = p.number(v2Current)
	if !p.isMissing(v2Current) {
		g.Limit = p.number(v2Max)
		p.limited(g.Limit)
		g.High = p.sometimes(v2High, &p.node.kept.high)
		g.AtRest = p.rests(g)
	}
	k := &p.node.kept
	if !g.AtRest {
		k.stat = oom.Stat{}
		if b, ok := p.file(v2Stat); ok {
			parseStatV2(b, &k.stat)
		}
	}
	g.Stat = k.stat
	if p.isMissing(v2Current) && (p.isMissing(v2Stat) || g.Parent < 0) {
		return
	}
	g.Events = p.eventsV2()
}

func (p *pass) isMissing(f file) bool { return p.missing&(1<<f) != 0 }

// readParts reads what Options.Parts asks for.
func (p *pass) readParts(g *oom.Group, up level, down *level, st *unix.Stat_t) {
	parts := p.h.options.Parts
	if parts&PartProcs != 0 && !g.AtRest && !p.deserted() && p.ask(procs) {
		errno := p.h.readPIDs(p.fd, p.node)
		p.note(procs, errno)
	}
	g.PIDs = p.node.kept.pids
	if parts&PartPressure != 0 && p.h.place.version == 2 {
		if b, ok := p.file(v2Pressure); ok {
			g.Pressure = parsePressure(b)
		}
	}
	if parts&PartStartTime != 0 {
		if t := int64(st.Mtim.Sec); p.node.made == 0 || t < p.node.made {
			p.node.made = t
		}
		g.StartTime = oom.Of(uint64(p.node.made))
	}
	if parts&PartProtection != 0 && p.online > 1 {
		g.Mems = p.mems(up, down)
	}
	if p.h.place.version == 1 {
		p.partsV1(g, parts)
	} else if !p.isMissing(v2Current) {
		p.partsV2(g, parts)
	}
}

// peak reads the highest usage, which a group at rest mostly leaves alone.
func (p *pass) peak(f file, g *oom.Group) oom.Amount {
	if !g.AtRest {
		p.node.kept.peak = p.number(f)
	}
	return p.node.kept.peak
}

func (p *pass) partsV1(g *oom.Group, parts Parts) {
	if p.isMissing(v1Usage) {
		return
	}
	k := &p.node.kept
	if parts&PartPeak != 0 {
		g.Peak = p.peak(v1Peak, g)
	}
	if parts&PartSwap != 0 && !p.h.noSwap {
		if p.due {
			k.swapLimit = p.limitV1(v1MemswLimit)
		}
		if p.due || k.swapLimit.IsValue() {
			k.swapUsage = p.number(v1MemswUsage)
		}
		g.MemswUsage, g.MemswLimit = k.swapUsage, k.swapLimit
	}
	if parts&PartProtection != 0 {
		g.Swappiness = p.sometimes(v1Swappiness, &k.swappiness)
	}
}

func (p *pass) partsV2(g *oom.Group, parts Parts) {
	k := &p.node.kept
	if parts&PartPeak != 0 {
		g.Peak = p.peak(v2Peak, g)
	}
	if parts&PartSwap != 0 {
		if p.due || !p.noSwap {
			k.swapUsage = p.number(v2SwapCurrent)
		}
		g.SwapUsage = k.swapUsage
		g.SwapLimit = p.sometimes(v2SwapMax, &k.swapLimit)
	}
	if parts&PartProtection != 0 {
		g.Min = p.sometimes(v2Min, &k.min)
		if p.due {
			v, ok := p.number(v2OOMGroup).Get()
			k.oomGroup = ok && v == 1
		}
		g.OOMGroup = k.oomGroup
	}
}

// mems returns the NUMA nodes to which the group is bound, nil for all. On v2 a
// group without the cpuset controller has its parent's; on v1 a group that is
// not in the cpuset hierarchy is unknown to us.
func (p *pass) mems(up level, down *level) []int {
	dir, f := p.fd, v2Mems
	if p.h.place.version == 1 {
		if up.cpuset < 0 {
			return nil
		}
		fd, errno := openat(up.cpuset, p.node.name, openDirFlags)
		if errno != 0 {
			return nil
		}
		down.cpuset = fd
		dir, f = fd, v1Mems
	}
	b, errno := readAt(dir, fileNames[f], p.h.buf)
	if errno != 0 {
		return up.mems
	}
	nodes, ok := parseNodes(p.h.nodes[:0], b)
	p.h.nodes = nodes[:0]
	switch {
	case !ok:
		return nil
	case len(nodes) == 0 || len(nodes) >= p.online:
		return nil
	case !slices.Equal(nodes, p.node.mems):
		p.node.mems = slices.Clone(nodes)
	}
	return p.node.mems
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// readV1 reads the files of a v1 group; see
// Documentation/admin-guide/cgroup-v1/memory.rst.
func (p *pass) readV1(g *oom.Group, up level) {
	g.Usage = p.readNumber(v1Usage)
	g.Limit = p.readLimitV1(v1Limit)
	p.noteLimit(v1Limit, g.Limit)
	p.checkUnchanged(v1Usage, g)
	k := &p.node.kept
	if !p.isFresh(v1Stat) {
		p.readUsageOfNow(v1Usage, g)
		k.stat = oom.Stat{}
		if b, ok := p.readFile(v1Stat); ok {
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
	g.Stat.Kernel = p.readKernelV1(g)
	g.Events.Max = p.numberIf(v1Failcnt, p.due || g.Limit.IsValue() && !p.isFresh(v1Failcnt)) // without a limit there are no hits.
	if p.numbers == nil && (p.isFresh(v1OOMControl) || p.assumeNoProcesses()) && p.h.scope == scopeOwn && k.killDisabled.Or(0) == 0 {
		g.KillDisabled, g.UnderOOM, g.Events.OwnKills = k.killDisabled, k.underOOM, k.kills
		return
	}
	p.readOOMControlV1(g, up)
	k.killDisabled, k.underOOM, k.kills = g.KillDisabled, g.UnderOOM, g.Events.OwnKills
}

// hierarchicalV1 tells whether use_hierarchy is on. A child of a hierarchical
// group is hierarchical too (mem_cgroup_css_alloc), so from 5.11 on, where it is
// always on, only the root's file is read.
func (p *pass) hierarchicalV1(up level) bool {
	if up.hierarchical {
		return true
	}
	v, ok := p.readNumber(v1Hierarchy).Get()
	return !ok || v != 0
}

// readV2 reads the files of a v2 group. The root has only some of them, and a
// group without the memory controller none: its memory is charged to an ancestor.
func (p *pass) readV2(g *oom.Group) {
	g.Hierarchical = true
	g.Usage = p.readNumber(v2Current)
	if !p.isMissing(v2Current) {
		g.Limit = p.readNumber(v2Max)
		p.noteLimit(v2Max, g.Limit)
		g.High = p.number(v2High)
		p.checkUnchanged(v2Current, g)
	}
	k := &p.node.kept
	if !p.isFresh(v2Stat) {
		p.readUsageOfNow(v2Current, g)
		k.stat = oom.Stat{}
		if b, ok := p.readFile(v2Stat); ok {
			parseStatV2(b, &k.stat)
		}
	}
	g.Stat = k.stat
	if p.isMissing(v2Current) && (p.isMissing(v2Stat) || g.Parent < 0) {
		return
	}
	g.Events = p.readEventsV2()
}

// readUsageOfNow reads usage again where it was listed: what is read next must be of the
// same moment, and the next list must show what was charged since.
func (p *pass) readUsageOfNow(f file, g *oom.Group) {
	if p.numbers == nil {
		return
	}
	if b, ok := p.readFile(f); ok {
		now := parseNumber(b)
		g.UsageUnchanged = g.UsageUnchanged && now == g.Usage
		g.Usage = now
		*p.node.kept.number(f) = now
	}
}

func (p *pass) isMissing(f file) bool { return p.missing&(1<<f) != 0 }

// readPressure reads memory.pressure. Listed, it may be older than what its file said
// in an earlier pass: a counter must not go back for that.
func (p *pass) readPressure() oom.Pressure {
	last := &p.node.kept.pressure
	if p.numbers != nil && p.numbers.Pressure.StalledMicros.IsSet() && p.h.listed.exists&(1<<v2Pressure) != 0 {
		now := p.numbers.Pressure
		last.WaitingMicros = oom.Of(max(last.WaitingMicros.Or(0), now.WaitingMicros.Or(0)))
		last.StalledMicros = oom.Of(max(last.StalledMicros.Or(0), now.StalledMicros.Or(0)))
		return *last
	}
	*last = oom.Pressure{}
	if b, ok := p.readFile(v2Pressure); ok {
		*last = parsePressure(b)
	}
	return *last
}

// readParts reads what Options.Parts asks for.
func (p *pass) readParts(g *oom.Group, up level, down *level) {
	parts := p.h.options.Parts
	if parts&PartProcs != 0 && !p.isFresh(procs) && !p.assumeNoProcesses() && p.callHook(procs) {
		errno := p.openLate()
		if errno == 0 {
			errno = p.h.readPIDs(p.fd, p.node)
		}
		p.noteErrno(procs, errno)
	}
	g.PIDs = p.node.kept.pids
	if parts&PartPressure != 0 && p.h.place.version == 2 {
		g.Pressure = p.readPressure()
	}
	if parts&PartStartTime != 0 {
		g.StartTime = oom.Of(uint64(p.node.made))
	}
	if parts&PartProtection != 0 && p.online > 1 {
		if p.fd >= 0 { // else they are of the last pass that opened the cgroup.
			p.node.mems = p.readMems(up, down)
		}
		g.Mems = p.node.mems
	}
	if p.h.place.version == 1 {
		p.readPartsV1(g, parts)
	} else if !p.isMissing(v2Current) {
		p.readPartsV2(g, parts)
	}
}

func (p *pass) readPartsV1(g *oom.Group, parts Parts) {
	if p.isMissing(v1Usage) {
		return
	}
	if parts&PartPeak != 0 {
		g.Peak = p.readPeak(v1Peak, g.Usage)
	}
	if parts&PartSwap != 0 && !p.h.noSwap {
		limit := p.node.kept.number(v1MemswLimit)
		if p.numbers != nil || !p.isFresh(v1MemswLimit) {
			*limit = p.readLimitV1(v1MemswLimit)
		}
		g.MemswUsage, g.MemswLimit = p.numberIf(v1MemswUsage, p.due || limit.IsValue()), *limit
	}
	if parts&PartProtection != 0 {
		g.Swappiness = p.number(v1Swappiness)
	}
}

func (p *pass) readPartsV2(g *oom.Group, parts Parts) {
	if parts&PartPeak != 0 {
		g.Peak = p.readPeak(v2Peak, g.Usage)
	}
	if parts&PartSwap != 0 {
		g.SwapUsage = p.numberIf(v2SwapCurrent, p.due || !p.noSwap)
		g.SwapLimit = p.number(v2SwapMax)
	}
	if parts&PartProtection != 0 {
		g.Min = p.number(v2Min)
		v, ok := p.number(v2OOMGroup).Get()
		g.OOMGroup = ok && v == 1
	}
}

// readPeak returns the highest usage. Listed, it may be from before the usage was read.
func (p *pass) readPeak(f file, usage oom.Amount) oom.Amount {
	peak := p.number(f)
	if p.numbers != nil && peak.IsValue() && usage.Or(0) > peak.Or(0) {
		return usage
	}
	return peak
}

// readMems returns the NUMA nodes that the group is bound to, nil for all or if
// they are unknown. On v2 a group without the cpuset controller has its parent's; on
// v1 those of a group that is not in the cpuset hierarchy are unknown.
func (p *pass) readMems(up level, down *level) []int {
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
	b, errno := readAt(dir, files[f].name, p.h.buf)
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
	case slices.Equal(nodes, p.node.mems):
		return p.node.mems
	}
	return slices.Clone(nodes)
}

// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// groupKill is a kill by memory.oom.group in progress. The kernel prints its
// lines in one go, under oom_lock: the first victim, "Tasks in …", then every
// process of the group, the first victim again among them.
type groupKill struct {
	active    bool
	path      string
	first     int    // pid of the first victim; 0 if its line was lost.
	seq       uint64 // of its line.
	message   messageOf
	duplicate bool // the first victim's second line has come.
	last      kmsg.Record
	seen      map[int]bool
}

// messageOf is what a kill keeps of its message.
type messageOf struct {
	constraint oom.Constraint
	global     bool
}

// How far apart two lines of one group kill can be: a slow console takes some
// milliseconds a line. A process that the report's table lists is trusted more
// than one whose line only came soon; after the duplicate the group may be over.
const (
	gapListed = 2 * time.Second
	gapGuess  = 100 * time.Millisecond
	gapAfter  = 10 * time.Millisecond
)

// groupBegins handles "Tasks in PATH are going to be killed": the kill before
// it was the group's first.
func (p *Parser) groupBegins(rec kmsg.Record, path string) {
	if p.cur == nil || !p.fresh || gap(p.lastKill, rec) > gapListed {
		p.close()
		p.cur = p.report(rec)
		p.cur.Headless, p.cur.Partial = true, true
		p.section = sectionDone
		p.group = groupKill{path: path}
	} else {
		if len(p.cur.Kills) > 1 {
			p.separate(rec)
		}
		first := &p.cur.Kills[0]
		if limit := p.cur.LimitPath; rec.Saved && limit != "" && !inside(path, limit) {
			p.cur.forgetLimit(first) // the limit is of another report.
		}
		first.GroupKill, first.Duplicate = true, false
		if first.VictimPath == "" {
			first.VictimPath, first.Evidence = path, evidence
		}
		p.group = groupKill{
			path:    path,
			first:   first.Victim.PID,
			seq:     first.Seq,
			message: messageOf{constraint(*first), first.Global},
		}
	}
	p.group.active, p.group.last = true, rec
	p.group.seen = map[int]bool{p.group.first: true}
	p.cur.GroupPath = path
	p.out = append(p.out, Event{Kind: KindGroup, Group: path, Seq: p.group.seq})
}

// forgetLimit drops a limit that can't be the one that was hit.
func (r *Report) forgetLimit(first *oom.Kill) {
	r.LimitPath, r.statsPath, r.Partial = "", "", true
	r.Memory, r.Memsw, r.Kmem, r.Swap, r.Stats = Usage{}, Usage{}, Usage{}, Usage{}, nil
	first.LimitPath, first.Usage, first.Limit, first.Partial = "", oom.Amount{}, oom.Amount{}, true
}

// separate moves the last kill of the open report into a report of its own:
// another group kill begins with it.
func (p *Parser) separate(rec kmsg.Record) {
	n := len(p.cur.Kills) - 1
	first := p.cur.Kills[n]
	p.cur.Kills = p.cur.Kills[:n]
	p.close()
	p.cur = p.report(rec)
	p.cur.Seq, p.cur.Time, p.cur.Uptime = first.Seq, first.Time, first.Uptime
	p.cur.Headless, p.cur.Partial = true, true
	p.section = sectionDone
	if first.GroupKill {
		// It was taken for a member of the group before.
		first.VictimPath, first.LimitPath, first.Evidence, first.Trigger = "", "", "", nil
		first.Usage, first.Limit = oom.Amount{}, oom.Amount{}
	}
	first.Partial = true
	p.cur.Kills = append(p.cur.Kills, first)
}

// constraint returns as much of a kill's constraint as its message tells, so that
// kills with and without a report can be compared.
func constraint(k oom.Kill) oom.Constraint {
	if k.Global {
		return ""
	}
	return k.Constraint
}

// member tells whether a Killed line belongs to the group kill in progress.
func (p *Parser) member(rec kmsg.Record, k killedLine) bool {
	g := &p.group
	if !g.active || p.cur == nil {
		return false
	}
	pid := k.victim.PID
	kill := newKill(rec, k)
	switch {
	case g.first != 0 && g.message != messageOf{constraint(kill), kill.Global}:
		return false
	case pid == g.first && g.duplicate, pid != g.first && g.seen[pid]:
		return false
	}
	allowed := gapGuess
	switch {
	case rec.Saved && p.cur.Task(k.victim) == nil && pid != g.first:
		allowed = gapAfter
	case p.cur.Task(k.victim) != nil || pid == g.first:
		allowed = gapListed
	case g.duplicate:
		allowed = gapAfter
	}
	return gap(g.last, rec) <= allowed
}

// gap is the time between two records, 0 if it can't be told.
func gap(a, b kmsg.Record) time.Duration {
	switch {
	case a.HasStamp && b.HasStamp:
		return b.Stamp - a.Stamp
	case !a.Time.IsZero() && !b.Time.IsZero():
		return b.Time.Sub(a.Time).Truncate(time.Second)
	default:
		return 0
	}
}

// groupKill completes the kill of a member of the group.
func (p *Parser) groupKill(kill *oom.Kill) {
	r, g := p.cur, &p.group
	kill.GroupKill = true
	kill.Duplicate = kill.Victim.PID == g.first
	g.duplicate = g.duplicate || kill.Duplicate
	if len(g.seen) < p.opts.MaxKills {
		g.seen[kill.Victim.PID] = true
	}
	kill.VictimPath, kill.Evidence = g.path, evidence
	if kill.Duplicate && r.Kills[0].VictimPath != "" {
		kill.VictimPath = r.Kills[0].VictimPath
	}
	kill.Partial = kill.Partial || r.Headless || r.Partial
	if r.Constraint != "" {
		kill.Constraint = r.Constraint
	}
	kill.Level = level(kill.Constraint, kill.Global)
	r.addReason(kill)
	if row := r.Task(kill.Victim); row != nil {
		kill.Victim.Swap = row.Swap
		complete(&kill.Victim, row)
	}
}

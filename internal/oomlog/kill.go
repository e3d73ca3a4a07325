// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// noKillable ends a report that found nobody to kill.
const noKillable = "Out of memory and no killable processes"

// kill handles the lines that say who dies, or why nobody does.
func (p *Parser) kill(rec kmsg.Record, s string) bool {
	if k, ok := parseKilled(s); ok {
		p.killed(rec, k)
		return true
	}
	if k, ok := parseKilledCut(s); ok && rec.Saved {
		p.killed(rec, k)
		return true
	}
	if reason, ok := strings.CutPrefix(s, panicPrefix); ok {
		p.panics(rec, reason)
		return false
	}
	if v, ok := parseReaped(s); ok && rec.Saved {
		p.reaped(rec, v)
		return false
	}
	if path, ok := parseGroup(s); ok {
		p.groupBegins(rec, path)
		return true
	}
	if c, ok := parseChosen(s); ok && (c.message != "" || rec.Saved) {
		if p.section == sectionDone || rec.Saved && p.chosen.pid != 0 && p.chosen.pid != c.pid {
			p.close()
		}
		if rec.Saved {
			p.open(rec)
		}
		p.chosen = c
		return true
	}
	if e, ok := parseExiting(s); ok {
		if !p.group.active {
			p.open(rec)
			p.use()
		}
		if p.cur != nil && len(p.cur.Exiting) < p.opts.MaxKills {
			p.cur.Exiting = append(p.cur.Exiting, e)
		}
		return true
	}
	if strings.HasPrefix(s, noKillable) {
		p.open(rec)
		p.cur.NoKillable = true
		p.cur.Lines++
		p.close()
		return false
	}
	if _, _, ok := cutKilled(s); ok {
		p.stats.Unparsed++
	}
	return false
}

// use marks the report as one that has its kill: the choice is used up.
func (p *Parser) use() {
	p.choice, p.picked, p.chosen = "", choice{}, chosenLine{}
	p.section = sectionDone
}

// killed handles one Killed line. It belongs to the open report if that has no
// kill yet, even with another pid: it may name a thread where the report names
// the process. Else memory.oom.group took the victim along, or the rate limit
// has silenced its report.
func (p *Parser) killed(rec kmsg.Record, k killedLine) {
	p.stats.Kills++
	if k.message == "" {
		k.message = p.chosen.message
	}
	kill := newKill(rec, k)
	switch {
	case p.awaits(rec, k):
		p.first(&kill, k)
	case p.member(rec, k):
		p.groupKill(&kill)
	case p.repeats(rec, &kill):
		p.again(rec, &kill)
	default:
		p.headless(rec, &kill)
	}
	if !kill.GroupKill {
		p.remember(rec, kill)
	}
	p.use()
	p.lastKill, p.fresh, p.group.last = rec, true, rec
	if len(p.cur.Kills) < p.opts.MaxKills {
		p.cur.Kills = append(p.cur.Kills, kill)
	} else {
		p.cur.KillsOmitted++
	}
	p.out = append(p.out, Event{Kind: KindKill, Kill: kill})
}

// newKill holds what the Killed line alone tells.
func newKill(rec kmsg.Record, k killedLine) oom.Kill {
	kill := oom.Kill{
		Time:        rec.Time,
		Approximate: rec.Approximate,
		Seq:         rec.Seq,
		Victim:      k.victim,
		Partial:     !k.whole,
		Allocating:  k.message == messageAllocating,
	}
	if rec.HasStamp {
		kill.Uptime = rec.Stamp
	}
	switch k.message {
	case messageMemcg:
		kill.Constraint = oom.ConstraintMemcg
	case messageGlobal, messageAllocating:
		kill.Global = true
	}
	return kill
}

// awaits tells whether the open report waits for this kill.
func (p *Parser) awaits(rec kmsg.Record, k killedLine) bool {
	r := p.cur
	if r == nil || p.section == sectionDone {
		return false
	}
	if p.picked.whole && k.message != "" && (p.picked.constraint == oom.ConstraintMemcg) != (k.message == messageMemcg) {
		return false
	}
	if !p.lossy {
		return !rec.Saved || p.fits(rec, k)
	}
	// With records missing in between it must be the one that was chosen.
	return p.picked.pid == k.victim.PID && p.picked.pid != 0 || p.picked.pid == 0 && r.Task(k.victim) != nil
}

// first completes the first kill of a report with what the report says.
func (p *Parser) first(kill *oom.Kill, k killedLine) {
	r, c := p.cur, p.picked
	v := &kill.Victim
	if r.Constraint == "" {
		r.Constraint = kill.Constraint
	}
	r.Global = r.Global || kill.Global
	if r.Global {
		r.LimitPath = ""
	}
	// Since 5.1 the message is on this line, and the choice on one before.
	if !c.whole && (k.message == messageMemcg || c.constraint != "" || p.chosen.message == "" && k.message != "") {
		r.Partial = true
	}
	v.TGID = c.pid
	if !v.UID.IsSet() {
		v.UID = c.uid
	}
	if row := r.Task(*v); row != nil {
		complete(v, row)
	}
	r.learnPageSize(*v)
	if row := r.Task(*v); row != nil {
		v.Swap = row.Swap
	}
	kill.Constraint, kill.Global = r.Constraint, r.Global
	r.useCaller()
	r.addReason(kill)
	kill.VictimPath = r.VictimPath
	kill.Partial = kill.Partial || r.Partial
	if kill.VictimPath != "" {
		kill.Evidence = evidence
	}
	kill.Level = level(kill.Constraint, kill.Global)
}

// addReason says whose limit was reached, and by whose allocation.
func (r *Report) addReason(kill *oom.Kill) {
	kill.LimitPath, kill.Sysrq = r.LimitPath, r.Sysrq
	if r.Trigger != nil {
		t := *r.Trigger
		kill.Trigger = &t
	}
	if !r.Global {
		_, u := r.Binding()
		kill.Usage, kill.Limit = u.Usage, u.Limit
	}
}

// evidence is the word for what the report names.
const evidence = "report"

// complete fills in from the task table what an old kernel's Killed line does
// not have.
func complete(v *oom.Victim, row *Task) {
	if !v.UID.IsSet() {
		v.UID = row.UID
	}
	if !v.PageTables.IsSet() {
		v.PageTables = row.PageTables
	}
	if !v.AdjKnown {
		v.Adj, v.AdjKnown = row.Adj, true
	}
}

// level is known without names where the limit is not a memory cgroup's.
func level(c oom.Constraint, global bool) oom.Level {
	switch {
	case !global:
		return oom.LevelUnknown
	case c == oom.ConstraintNone:
		return oom.LevelNode
	case c == oom.ConstraintCPUSet, c == oom.ConstraintPolicy:
		return oom.LevelNUMA
	default:
		return oom.LevelUnknown
	}
}

// headless puts a kill without a report with others of its kind.
func (p *Parser) headless(rec kmsg.Record, kill *oom.Kill) {
	kill.Partial = true
	p.group = groupKill{}
	if p.cur == nil || !p.cur.Headless || p.cur.GroupPath != "" || len(p.cur.Kills) >= p.opts.MaxKills {
		p.close()
		p.cur = p.report(rec)
		p.cur.Headless, p.cur.Partial = true, true
		p.cur.RateLimited = p.silenced(rec)
	}
}

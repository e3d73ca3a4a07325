// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
)

// join puts lines that came in pieces together again. It returns false when it
// has kept the record; else rec is a whole line.
func (p *Parser) join(rec *kmsg.Record) bool {
	if p.isHeld {
		if p.joinHeld(rec) {
			return true
		}
		if p.isHeld {
			return false
		}
	}
	if p.choice != "" && !wholeChoice(p.choice) && p.joinChoice(*rec) {
		return false
	}
	if rec.Split && splitKilled(rec.Text) {
		p.held, p.isHeld = *rec, true
		return false
	}
	return true
}

// splitKilled tells whether a Killed line lacks its end, because its comm
// holds a newline.
func splitKilled(s string) bool {
	_, s, ok := cutKilled(s)
	pid, rest, ok2 := strings.Cut(s, " (")
	return ok && ok2 && allDigits(pid) && len(rest) <= maxComm && !strings.Contains(rest, ")")
}

// joinHeld appends the next line of a split Killed line. It returns true when
// rec is the whole line.
func (p *Parser) joinHeld(rec *kmsg.Record) bool {
	if !sameRecord(p.held, *rec) {
		p.drop()
		return false
	}
	p.held.Text += "\n" + rec.Text
	if _, ok := parseKilled(p.held.Text); ok {
		*rec = p.held
		p.isHeld = false
		return true
	}
	if !splitKilled(p.held.Text) {
		p.drop()
	}
	return false
}

// sameRecord tells whether two lines can be of one record: those of one record
// carry the same prefix.
func sameRecord(a, b kmsg.Record) bool {
	return a.Split && b.Split && b.Lost == 0 && a.Priority == b.Priority &&
		a.HasStamp == b.HasStamp && a.Stamp == b.Stamp && a.Time.Equal(b.Time)
}

// joinChoice appends rec to an unfinished choice if it can be the next piece.
func (p *Parser) joinChoice(rec kmsg.Record) bool {
	const maxText = 16 << 10
	switch {
	case rec.Lost > 0 || len(p.choice)+len(rec.Text) > maxText:
		return false
	case continues(p.choice, rec.Text, rec.Cont):
		p.choice += rec.Text
	case strings.Contains(p.choice, ",task=") && sameRecord(p.choiceAt, rec) && !p.known(rec.Text):
		p.choice += "\n" + rec.Text
	default:
		return false
	}
	if p.cur != nil {
		p.cur.Lines++
	}
	p.understand()
	return true
}

// known tells whether a line has a meaning of its own.
func (p *Parser) known(s string) bool {
	if _, ok := parseInvoked(s); ok {
		return true
	}
	_, ok := parseKilled(s)
	return ok || startsChoice(s) || splitKilled(s)
}

// drop gives up a split Killed line.
func (p *Parser) drop() {
	if p.isHeld {
		p.stats.Unparsed++
	}
	p.isHeld = false
}

// understand stores in the report what is known of the choice by now.
func (p *Parser) understand() {
	c := parseChoice(p.choice)
	if p.choiceAt.Saved && !c.whole {
		c.forgetCut() // the line may end anywhere, and so may a path in it.
	}
	p.picked = c
	r := p.cur
	r.Constraint, r.Global = c.constraint, c.global
	if c.limitPath != "" {
		r.LimitPath = c.limitPath
	}
	if c.global {
		r.LimitPath = ""
	}
	r.VictimPath = c.victimPath
	if r.Trigger != nil && c.cpuset != "" {
		r.Trigger.CPUSetPath = c.cpuset
	}
	r.CPUSet = c.cpuset
	if c.memsAllowed != "" {
		r.NodeMask, r.MemsAllowed = c.nodeMask, c.memsAllowed
	}
}

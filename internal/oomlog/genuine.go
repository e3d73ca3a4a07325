// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
)

// run is a series of lines with the same prefix, where each line of a record
// comes as a record of its own: they may all be of one record.
//
// Users can have the kernel print text of their choice, newlines and all: a
// mount(2) option of a file system that may be mounted in a user namespace is
// enough ("overlayfs: failed to resolve '…'"). From syslog(2) each line of it
// looks like a record. So a line that has the prefix of the line before it is
// taken for a part of the same record, unless all lines of the run so far are
// such as the OOM killer prints, whose records end where their lines do.
type run struct {
	last    kmsg.Record
	foreign bool // there was a line that is not the OOM killer's.
}

// quoted tells whether a line is a part of somebody else's record, whatever it
// says.
func (p *Parser) quoted(rec kmsg.Record) bool {
	if !rec.Split || rec.Saved {
		return false
	}
	same := sameRecord(p.run.last, rec)
	p.run.last = rec
	switch {
	case !same:
		p.run.foreign = !isOwn(rec.Text)
		return false
	case p.run.foreign:
		return true
	case p.isHeld || p.choice != "" && !wholeChoice(p.choice):
		return false // a name with a newline has split the OOM killer's own line.
	}
	p.run.foreign = !isOwn(rec.Text)
	return p.run.foreign
}

// isOwn tells whether a text is the whole or, because of a newline in a name,
// the first line of a record that only the OOM killer prints. None of them
// begins with a user's text, except for a comm of at most 15 bytes.
func isOwn(s string) bool {
	if startsChoice(s) || splitKilled(s) || s == tasksTitle || isTableLine(s) {
		return true
	}
	for _, prefix := range []string{statsPrefix, reachedPrefix, noKillable} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	if _, ok := parseKilled(s); ok {
		return true
	}
	if _, ok := parseInvoked(s); ok {
		return true
	}
	if _, ok := parseChosen(s); ok {
		return true
	}
	if _, ok := parseGroup(s); ok {
		return true
	}
	if _, ok := parseExiting(s); ok {
		return true
	}
	if _, ok := parseSuppressed(s); ok {
		return true
	}
	name, _, ok := parseUsage(s)
	return ok && (&Report{}).setUsage(name, Usage{}) || isStat(s)
}

// isTableLine tells whether a text is the header or a row of the task table.
func isTableLine(s string) bool {
	if _, ok := parseColumns(s); ok {
		return true
	}
	inside, rest, ok := strings.Cut(strings.TrimPrefix(s, "["), "]")
	return ok && strings.HasPrefix(s, "[") && allDigits(strings.TrimSpace(inside)) && isRow(rest)
}

// isStat tells whether a text is a line of memory.stat.
func isStat(s string) bool {
	key, value, ok := strings.Cut(s, " ")
	return ok && isStatKey(key) && allDigits(value)
}

// Log levels of the OOM killer's lines, the same since 2.6.36.
const (
	levelErr     = 3 // who is killed.
	levelWarning = 4 // "invoked oom-killer".
	levelInfo    = 6 // whose limit it is.
)

// impossible tells whether the kernel that runs cannot have printed a line: the
// wording or the level is another kernel's. Distributions backport new wordings,
// so only what is gone for good, or is far too new, counts.
func (p *Parser) impossible(rec kmsg.Record) bool {
	r, s := p.opts.Release, rec.Text
	if r.Major == 0 || rec.Saved {
		return false
	}
	leveled := func(level int) bool { return rec.Level() < 0 || rec.Level() == level || rec.Cont }
	_, unprefixed := cutMessage(s)
	_, _, killed := cutKilled(s)
	switch {
	case killed:
		return !leveled(levelErr) || r.AtLeast(5, 2) && unprefixed == s || r.AtLeast(5, 5) && !isModernKilled(s)
	case strings.HasPrefix(unprefixed, "Kill process "), strings.HasPrefix(s, taskInPrefix):
		return r.AtLeast(5, 2)
	case strings.HasPrefix(s, oomKillPrefix):
		return !leveled(levelInfo) || !r.AtLeast(4, 15)
	case strings.HasPrefix(s, "Tasks in "):
		return !r.AtLeast(4, 15)
	}
	_, invoked := parseInvoked(s)
	return invoked && !leveled(levelWarning)
}

// isModernKilled tells whether a Killed line has all that it has had since 5.4;
// the end may be on the next line.
func isModernKilled(s string) bool {
	if splitKilled(s) {
		return true
	}
	k, ok := parseKilled(s)
	v := &k.victim
	return ok && k.whole && v.UID.IsSet() && v.AdjKnown && v.PageTables.IsSet() && v.ShmemRSS.IsSet()
}

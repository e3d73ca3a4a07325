// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Options are a Parser's bounds. The zero value is good for everything.
type Options struct {
	PageSize uint64      // of the kernel that wrote the log; 4096 if 0.
	Release  oom.Release // of the kernel that runs, for what it cannot have printed; zero: not known.
	MaxTasks int         // rows of the task table that are kept; 32768 if 0.
	MaxKills int         // kills that one report holds; 4096 if 0.
}

// Parser turns records into kills and reports. It is a state machine: at any
// time at most one report is open, because the kernel prints one at a time.
type Parser struct {
	opts  Options
	stats Stats
	out   []Event

	cur     *Report // the open report.
	section section
	columns columns
	lossy   bool // records were lost since cur began.

	choice   string // text of the last choice, used up by the next kill.
	choiceAt kmsg.Record
	picked   choice // what is known of it.
	chosen   chosenLine
	held     kmsg.Record // a Killed line that a newline in comm has split.
	isHeld   bool
	run      run

	group      groupKill
	lastKill   kmsg.Record
	last       kmsg.Record   // the record before.
	before     firstKill     // the kill that may be told twice.
	release    oom.Release   // of the boot, where its first line is there.
	begun      []kmsg.Record // when the last reports began.
	fresh      bool          // lastKill is the last of cur, and nothing was lost since.
	sysrq      bool
	suppressed uint64
}

// section is the part of a report that a line is in.
type section uint8

const (
	sectionNone section = iota
	sectionHead         // the trigger's stack.
	sectionStats
	sectionTable
	sectionDone // a kill, or that there is none.
)

// New returns a Parser.
func New(opts Options) *Parser {
	if opts.PageSize == 0 {
		opts.PageSize = 4096
	}
	if opts.MaxTasks <= 0 {
		opts.MaxTasks = 32768
	}
	if opts.MaxKills <= 0 {
		opts.MaxKills = 4096
	}
	return &Parser{opts: opts}
}

// Stats returns what was counted so far.
func (p *Parser) Stats() Stats { return p.stats }

// Add takes the next record and returns what it says. Kills come at once, the
// report about them when it is over.
func (p *Parser) Add(rec kmsg.Record) []Event {
	p.out = nil
	p.stats.Records++
	p.stats.Lost += rec.Lost
	if rec.Lost > 0 {
		p.lose(rec.Lost)
	}
	if !rec.FromKernel() {
		p.stats.Refused++
		return p.out
	}
	if p.quoted(rec) {
		p.stats.Refused++
		return p.out
	}
	p.place(rec)
	if !p.join(&rec) {
		return p.out
	}
	if p.impossible(rec) {
		p.stats.Refused++
		return p.out
	}
	p.line(rec)
	return p.out
}

// Flush ends whatever is open: the log is over.
func (p *Parser) Flush() []Event {
	p.out = nil
	p.drop()
	p.close()
	return p.out
}

// minOther is the fewest records that can hold the end of one report and the
// head of the next: a choice, a kill and an "invoked".
const minOther = 3

// lose notes that n records are missing. What is open may have lost its end,
// and what follows may be of another report.
func (p *Parser) lose(n uint64) {
	p.drop()
	if p.section != sectionDone && p.choice == "" && n >= minOther {
		p.close()
	}
	p.lossy = true
	if p.cur != nil && p.section != sectionDone {
		p.cur.Partial = true
	}
	p.chosen, p.group, p.fresh = chosenLine{}, groupKill{}, false
}

// line handles one whole line.
func (p *Parser) line(rec kmsg.Record) {
	s := rec.Text
	if !p.marker(rec, s) && !p.kill(rec, s) && !p.detail(rec, s) {
		return
	}
	if p.cur != nil {
		p.cur.Lines++
	}
}

// marker handles the lines that begin something.
func (p *Parser) marker(rec kmsg.Record, s string) bool {
	if t, ok := parseInvoked(s); ok {
		p.begin(rec, &t)
		return true
	}
	if n, ok := parseSuppressed(s); ok {
		if p.cur != nil && p.cur.Headless {
			p.cur.RateLimited = true
		}
		p.close()
		p.suppressed = n
		p.out = append(p.out, Event{Kind: KindSuppressed, Suppressed: n})
		return false
	}
	if startsChoice(s) {
		if p.conflicts(rec, parseChoice(s)) {
			p.close()
		}
		p.open(rec)
		p.choice, p.choiceAt, p.section = s, rec, sectionNone
		p.understand()
		return true
	}
	if path, ok := strings.CutPrefix(s, reachedPrefix); ok && p.cur != nil {
		p.cur.LimitPath, p.cur.Constraint = path, oom.ConstraintMemcg
		return true
	}
	if strings.HasSuffix(s, "Manual OOM execution") && strings.HasPrefix(strings.ToLower(s), "sysrq") {
		p.close()
		p.sysrq = true
	}
	return false
}

// begin opens a report at its first line.
func (p *Parser) begin(rec kmsg.Record, t *oom.Trigger) {
	p.close()
	p.cur = p.report(rec)
	p.cur.Trigger = t
	p.cur.Sysrq = p.sysrq || t.Order == -1
	p.cur.Suppressed = p.suppressed
	p.cur.caller = rec.Caller
	p.began(rec)
	p.suppressed, p.sysrq = 0, false
	p.section = sectionHead
}

// open makes sure that a report is open; one that has its kill is over. A
// report that begins in the middle has lost its head.
func (p *Parser) open(rec kmsg.Record) {
	if p.cur != nil && p.section != sectionDone {
		return
	}
	p.close()
	p.cur = p.report(rec)
	p.cur.Partial = true
}

func (p *Parser) report(rec kmsg.Record) *Report {
	r := &Report{
		Seq:         rec.Seq,
		Time:        rec.Time,
		Approximate: rec.Approximate,
		PageSize:    p.opts.PageSize,
		Host:        rec.Host,
		Boot:        rec.Boot,
		NoYear:      rec.NoYear,
		NoZone:      rec.NoZone,
		Date:        rec.Date,
	}
	if rec.HasStamp {
		r.Uptime = rec.Stamp
	}
	p.lossy = false
	return r
}

// close ends the open report and hands it out.
func (p *Parser) close() {
	r := p.cur
	if r != nil {
		p.choose(r)
		r.useCaller()
		if r.Release.Text == "" {
			r.Release = p.release
		}
	}
	p.cur, p.section, p.group = nil, sectionNone, groupKill{}
	p.choice, p.picked = "", choice{}
	p.chosen, p.fresh = chosenLine{}, false
	if r == nil {
		return
	}
	if len(r.Kills) == 0 && len(r.Exiting) == 0 && !r.NoKillable && r.Panic == "" {
		r.Partial = true
		if r.middle && r.Chosen == nil && r.Constraint == "" && len(r.Tasks) == 0 {
			return // the machine's memory, shown for another reason.
		}
	}
	p.out = append(p.out, Event{Kind: KindReport, Report: r})
}

// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// What follows is about saved logs (Record.Saved): any part of them may be
// missing, doubled or from another boot. A live log says so when it loses
// records, and its readers count what it holds.

const (
	panicPrefix = "Kernel panic - not syncing: "
	bootPrefix  = "Linux version "
)

// Bounds between two lines of one report of a saved log. The clocks of CPUs
// differ by less than stepEarlier, the step back that tells of an earlier report;
// stepBack, the one that tells of another boot, is much larger.
const (
	gapReport   = time.Minute
	stepBack    = time.Second
	stepEarlier = 10 * time.Millisecond
)

// place ends the open report if a record is of another boot, or if its clock says
// that it is earlier or much later.
func (p *Parser) place(rec kmsg.Record) {
	if !rec.Saved {
		return
	}
	last := p.last
	p.last = rec
	if text, ok := strings.CutPrefix(rec.Text, bootPrefix); ok {
		p.reboot()
		release, _, _ := strings.Cut(text, " ")
		p.release = oom.ParseRelease(release)
		return
	}
	switch {
	case last.Boot != "" && rec.Boot != "" && last.Boot != rec.Boot,
		last.HasStamp && rec.HasStamp && rec.Stamp < last.Stamp-stepBack:
		p.reboot()
	case p.cur != nil && p.cur.ended(last, rec):
		p.drop()
		p.close()
	}
}

// ended tells whether so much time has passed that a report is over.
func (r *Report) ended(last, rec kmsg.Record) bool {
	switch {
	case last.HasStamp && rec.HasStamp:
		between := rec.Stamp - last.Stamp
		return between > gapReport || between < -stepEarlier
	case !last.Time.IsZero() && !rec.Time.IsZero():
		between := rec.Time.Sub(last.Time)
		return between > gapReport || between < -stepBack
	default:
		return false
	}
}

// reboot forgets what belonged to the boot before.
func (p *Parser) reboot() {
	p.drop()
	p.close()
	p.release, p.before, p.columns = oom.Release{}, firstKill{}, nil
	p.sysrq, p.suppressed, p.begun = false, 0, nil
}

// fits tells whether a Killed line can be about the process that the report
// chose. It may name a thread where the report names the process.
func (p *Parser) fits(rec kmsg.Record, k killedLine) bool {
	r, pid := p.cur, p.picked.pid
	if pid == 0 {
		pid = p.chosen.pid
	}
	if pid == k.victim.PID {
		return true
	}
	if pid == 0 {
		row := r.Task(k.victim)
		switch {
		case row != nil:
			return row.Comm == k.victim.Comm
		case len(r.Tasks) > 0 || r.LimitPath != "":
			return false
		default:
			return gap(p.last, rec) <= gapListed
		}
	}
	if p.picked.pid == 0 {
		// Up to 5.0 a child could be killed in place of the chosen process.
		return gap(p.last, rec) <= gapListed
	}
	if p.chosen.pid == p.picked.pid {
		return true
	}
	for i := range r.Tasks {
		if t := &r.Tasks[i]; t.PID == k.victim.PID {
			return t.TGID == pid
		}
	}
	return p.picked.comm == k.victim.Comm && gap(p.choiceAt, rec) <= gapListed
}

// firstKill is the last kill that can be the first of a group kill.
type firstKill struct {
	kill oom.Kill
	at   kmsg.Record
	used bool
}

func (p *Parser) remember(rec kmsg.Record, kill oom.Kill) {
	if kill.VictimPath != "" || p.before.kill.Victim.PID == 0 || gap(p.before.at, rec) > gapListed || p.before.used {
		p.before = firstKill{kill: kill, at: rec}
	}
}

// repeats tells whether a kill is the second line about one before: the first
// victim of a group kill, whose announcement is missing.
func (p *Parser) repeats(rec kmsg.Record, kill *oom.Kill) bool {
	b := &p.before
	return rec.Saved && !b.used && !p.group.active && b.kill.Victim.PID == kill.Victim.PID && b.kill.Victim.Comm == kill.Victim.Comm &&
		b.kill.Victim.TotalVM == kill.Victim.TotalVM && b.kill.Victim.AnonRSS == kill.Victim.AnonRSS && gap(b.at, rec) <= gapListed
}

// again handles such a kill.
func (p *Parser) again(rec kmsg.Record, kill *oom.Kill) {
	first := p.before.kill
	p.before.used = true
	if p.section != sectionDone || p.cur == nil {
		p.headless(rec, kill)
	}
	kill.GroupKill, kill.Duplicate, kill.Partial = true, true, true
	kill.VictimPath, kill.LimitPath, kill.Evidence = first.VictimPath, first.LimitPath, first.Evidence
	kill.Constraint, kill.Level, kill.Global = first.Constraint, first.Level, first.Global
}

// panics handles the end of a report after which nothing was killed, since the
// kernel was told to panic instead, or had nothing else left.
func (p *Parser) panics(rec kmsg.Record, reason string) {
	after, ok := strings.CutPrefix(reason, messageGlobal)
	if !ok && !strings.HasPrefix(reason, "System is deadlocked on memory") {
		return
	}
	p.open(rec)
	r := p.cur
	r.Panic = strings.TrimRight(strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(after, ":"), " and")), ".")
	if r.Panic == "" || !ok {
		r.Panic = reason
	}
	r.NoKillable = strings.Contains(reason, "no killable") || !ok
	// A "compulsory" panic can also come from the limit of a memory cgroup.
	if r.Constraint == "" && !r.Memory.Usage.IsSet() {
		r.Global = true
	}
	r.Lines++
	p.close()
}

// parseReaped parses "oom_reaper: reaped process 12 (x), now anon-rss:0kB, …".
func parseReaped(s string) (v oom.Victim, ok bool) {
	s, ok = strings.CutPrefix(s, "oom_reaper: reaped process ")
	pid, rest, ok2 := strings.Cut(s, " (")
	v.PID, ok = parsePID(pid, ok && ok2)
	end := strings.LastIndex(rest, "), now anon-rss:")
	if !ok || end < 0 || end > maxComm {
		return v, false
	}
	v.Comm = rest[:end]
	return v, true
}

// reaped handles the line that says that a victim's memory was reaped: it was
// killed, whatever else the log has of it.
func (p *Parser) reaped(rec kmsg.Record, v oom.Victim) {
	r := p.report(rec)
	r.Chosen, r.Reaped, r.Partial, r.Lines = &v, true, true, 1
	r.Release = p.release
	if p.cur != nil && p.section == sectionDone && !p.group.active {
		p.close() // so that reports stay in order.
	}
	p.out = append(p.out, Event{Kind: KindReport, Report: r})
}

// conflicts tells whether a choice can't be of the open report: what was
// printed before it is of another.
func (p *Parser) conflicts(rec kmsg.Record, c choice) bool {
	r := p.cur
	if r == nil || p.section == sectionDone || !rec.Saved || !c.whole {
		return false
	}
	switch {
	case p.picked.whole && p.picked.pid != c.pid:
		return true
	case !strings.HasPrefix(rec.Text, oomKillPrefix):
		return false
	case c.global:
		return r.Memory.Usage.IsSet()
	default:
		return r.Node.RAM.IsSet() || r.statsPath != "" && r.statsPath != c.limitPath
	}
}

// beginsMiddle tells whether a line is of a report whose head is missing.
func beginsMiddle(s string) bool {
	if _, ok := parseColumns(s); ok || s == tasksTitle || strings.HasPrefix(s, statsPrefix) || strings.HasPrefix(s, "Mem-Info:") {
		return true
	}
	if name, _, ok := parseUsage(s); ok {
		return name == "memory" || name == "memory+swap"
	}
	return findRow(s) == 0 || isNodeLine(s)
}

// guessColumns guesses the columns of a row whose header is missing by their
// number. Page tables were counted in pages before 4.15, since then in bytes.
func guessColumns(s string) columns {
	_, rest, _ := strings.Cut(s, "]")
	var numbers []string
	for word := range strings.FieldsSeq(rest) {
		if !allDigits(strings.TrimPrefix(word, "-")) {
			break
		}
		numbers = append(numbers, word)
	}
	c := columns{"pid", "uid", "tgid", "total_vm", "rss"}
	switch n := len(numbers); {
	case n >= 10:
		return append(c, "rss_anon", "rss_file", "rss_shmem", "pgtables_bytes", "swapents", "oom_score_adj")
	case n == 8:
		return append(c, "nr_ptes", "nr_pmds", "swapents", "oom_score_adj")
	case n == 7 && inBytes(parseNumber(numbers[4]).Or(0), parseNumber(numbers[3]).Or(0)):
		return append(c, "pgtables_bytes", "swapents", "oom_score_adj")
	case n == 7:
		return append(c, "nr_ptes", "swapents", "oom_score_adj")
	default:
		return nil
	}
}

// inBytes tells whether a row's page tables are in bytes: then the number is a
// multiple of a page, or it is above rss (no process has more pages of tables
// than of memory).
func inBytes(tables, rss uint64) bool {
	return tables > 0 && tables%4096 == 0 || tables > max(rss, 64)
}

// silenced tells whether the kernel's limit of 10 reports in 5 s is why a kill
// has none.
func (p *Parser) silenced(rec kmsg.Record) bool {
	const limit, interval = 10, 5 * time.Second
	n := 0
	for _, begun := range p.begun {
		if begun.HasStamp && rec.HasStamp || !begun.Time.IsZero() && !rec.Time.IsZero() {
			if d := gap(begun, rec); d >= 0 && d <= interval+time.Second {
				n++
			}
		}
	}
	return n >= limit
}

// began notes when reports began; only the last few matter.
func (p *Parser) began(rec kmsg.Record) {
	const keep = 12
	rec.Text = ""
	if p.begun = append(p.begun, rec); len(p.begun) > keep {
		p.begun = append(p.begun[:0], p.begun[len(p.begun)-keep:]...)
	}
}

// choose keeps who was to be killed, for a report without a kill.
func (p *Parser) choose(r *Report) {
	c := p.picked
	switch {
	case len(r.Kills) > 0 || len(r.Exiting) > 0 || r.NoKillable || r.Panic != "":
		return
	case c.whole && c.pid != 0:
		r.Chosen = &oom.Victim{PID: c.pid, TGID: c.pid, Comm: c.comm, UID: c.uid}
	case p.chosen.pid != 0:
		r.Chosen = &oom.Victim{PID: p.chosen.pid, Comm: p.chosen.comm}
		switch p.chosen.message {
		case messageMemcg:
			r.Constraint = oom.ConstraintMemcg
		case messageGlobal, messageAllocating:
			r.Global = true
		}
	default:
		return
	}
	if row := r.Task(*r.Chosen); row != nil {
		complete(r.Chosen, row)
		r.Chosen.Swap = row.Swap
	}
}

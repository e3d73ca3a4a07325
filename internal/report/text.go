// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// Text writes the reports for people: which process was killed, which limit was hit,
// which process allocated, what used the memory, why this process was chosen and
// which would have been next. Lines are at most 100 columns wide, except for names
// that cannot be broken.
func Text(w io.Writer, reports []oomlog.Report, opts Options) error {
	if opts.Top <= 0 {
		opts.Top = 10
	}
	if opts.Location == nil {
		opts.Location = time.Local
	}
	p := &printer{w: bufio.NewWriter(w), opts: opts}
	if len(reports) > 1 {
		p.summary(reports)
	}
	for i := 0; i < len(reports); {
		if i > 0 || len(reports) > 1 {
			p.line("")
		}
		same := sameAgain(reports[i:])
		p.report(&reports[i], i+1, len(reports))
		if same > 1 {
			last := &reports[i+same-1]
			p.item("Again", fmt.Sprintf("the same %d more times, until %s", same-1, p.when(last, last.Time, last.Uptime)))
		}
		i += same
	}
	if opts.unread != "" {
		p.line("")
		p.wrapped("", opts.unread)
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// sameAgain counts the first report and those after it that only repeat that a limit
// was hit where nothing can be killed: there can be hundreds a second.
func sameAgain(reports []oomlog.Report) int {
	first, n := &reports[0], 1
	for n < len(reports) && first.NoKillable && reports[n].NoKillable &&
		reports[n].LimitPath == first.LimitPath && reports[n].Global == first.Global {
		n++
	}
	return n
}

type printer struct {
	w    *bufio.Writer
	opts Options
}

func (p *printer) line(s string) {
	_, _ = p.w.WriteString(strings.TrimRight(s, " "))
	_ = p.w.WriteByte('\n')
}

func (p *printer) bold(s string) string {
	if !p.opts.Color {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// summary counts what a long log holds.
func (p *printer) summary(reports []oomlog.Report) {
	killed, silent, cut, spared := 0, 0, 0, 0
	for i := range reports {
		r := &reports[i]
		killed += deaths(r.Kills)
		switch {
		case r.Headless:
			silent += deaths(r.Kills)
		case r.NoKillable:
			spared++
		case len(r.Kills) == 0:
			cut++
		}
	}
	parts := []string{count(killed, "process", "processes") + " killed"}
	if silent > 0 {
		parts = append(parts, fmt.Sprintf("%d of them without a report", silent))
	}
	if spared > 0 {
		parts = append(parts, count(spared, "time", "times")+" nothing could be killed")
	}
	if cut > 0 {
		parts = append(parts, count(cut, "report", "reports")+" cut short")
	}
	p.line(p.bold("Summary: " + strings.Join(parts, ", ")))
}

func (p *printer) report(r *oomlog.Report, n, of int) {
	head := "OOM"
	if of > 1 {
		head = fmt.Sprintf("OOM %d of %d", n, of)
	}
	if r.Host != "" {
		head += ", host " + Clean(r.Host, maxComm)
	}
	if r.Boot != "" {
		head += ", boot " + Clean(r.Boot, 12)
	}
	if when := p.began(r); when != "" {
		head += ", " + when
	}
	if r.Release.Text != "" {
		head += ", kernel " + Clean(r.Release.Text, maxComm)
	}
	p.line(p.bold(head))
	p.noDate(r)
	if r.Headless {
		p.headless(r)
		return
	}
	p.wrapped("", p.headline(r))
	p.line("")
	label := "Killed"
	if r.Chosen != nil && !r.Reaped {
		label = "Chosen"
	}
	for i, k := range r.Kills {
		if i == 0 || !k.Duplicate && i < p.opts.Top {
			p.item(label, p.victim(k))
		}
	}
	if left := len(r.Kills) - p.opts.Top; left > 0 {
		p.item("", fmt.Sprintf("and %d more lines of this group kill", left))
	}
	for _, e := range r.Exiting {
		p.item("Exiting", fmt.Sprintf("%s (pid %d) was chosen, but was already exiting", Clean(e.Comm, maxComm), e.PID))
	}
	if len(r.Kills) > 0 && r.VictimPath != "" {
		p.item("In", p.group(r.VictimPath))
	}
	p.item("Limit", p.limit(r))
	p.item("Trigger", p.trigger(r))
	p.cause(r)
	p.memory(r)
	p.largest(r)
	p.ranking(r)
	p.notes(r)
}

// cause says why it came about, where a running exporter has recorded it.
func (p *printer) cause(r *oomlog.Report) {
	if len(r.Kills) == 0 {
		return
	}
	if v := p.opts.why(&r.Kills[0]); v != nil {
		p.item("Cause", fmt.Sprintf("%s: %s", Clean(v.Cause, maxComm), Clean(v.Sentence, maxPath)))
		if v.Advice != "" {
			p.item("Advice", Clean(v.Advice, maxPath))
		}
	}
}

// notes say what there is to know about the report itself.
func (p *printer) notes(r *oomlog.Report) {
	if r.Reaped {
		p.item("Note", "this log has only the line that says that its memory was reaped")
	} else if r.Chosen != nil {
		p.item("Note", "the line that says that it was killed is not in this log")
	} else if r.Partial {
		p.item("Note", "this report is not whole: lines of it are missing in the log")
	}
}

// headless lists kills that came without a report.
func (p *printer) headless(r *oomlog.Report) {
	n := deaths(r.Kills)
	scope := scopeOf(r.Kills)
	text := count(n, "process was", "processes were") + " killed" + scope
	if n == 1 {
		v := r.Kills[0].Victim
		text = fmt.Sprintf("%s (pid %d) was killed%s", Clean(v.Comm, maxComm), v.PID, scope)
	}
	if r.GroupPath != "" {
		text = count(n, "process", "processes") + " of " + Clean(r.GroupPath, maxPath) + " killed together (memory.oom.group)"
	}
	if text += "; "; r.RateLimited {
		text += "the kernel prints at most 10 reports in 5 s, and none about " + it(n)
	} else {
		text += "no report about " + it(n) + " is in this log"
	}
	p.wrapped("", text)
	shown := 0
	for _, k := range r.Kills {
		if k.Duplicate {
			continue
		}
		if shown == p.opts.Top {
			p.line(fmt.Sprintf("    and %d more", n-shown))
			return
		}
		shown++
		line := p.victim(k)
		if scope == "" && r.GroupPath == "" {
			line += scopeText(&k)
		}
		p.folded("    "+pad(p.when(r, k.Time, k.Uptime), 22), line)
	}
}

func it(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// scopeOf says what ran out where that is the same for all kills.
func scopeOf(kills []oom.Kill) string {
	scope := ""
	for i := range kills {
		text := scopeText(&kills[i])
		if i > 0 && text != scope {
			return ""
		}
		scope = text
	}
	return scope
}

func scopeText(k *oom.Kill) string {
	switch {
	case k.Allocating:
		return " because the node ran out of memory just as it asked for some (vm.oom_kill_allocating_task)"
	case k.Global:
		return " because the node ran out of memory"
	case k.Constraint == oom.ConstraintMemcg:
		return " because a memory cgroup, which the log does not name, reached its limit"
	default:
		return ""
	}
}

// when prints a time, or the kernel's clock where the log has no other. Parts of
// the date that the log does not have are left out.
func (p *printer) when(r *oomlog.Report, t time.Time, up time.Duration) string {
	layout := "2006-01-02 15:04:05 MST"
	switch {
	case r.NoYear:
		layout = "Jan 2 15:04:05"
	case r.NoZone:
		layout = "2006-01-02 15:04:05"
	}
	switch {
	case !t.IsZero():
		return t.In(p.opts.Location).Format(layout)
	case up > 0:
		return fmt.Sprintf("%.3f s after boot", up.Seconds())
	default:
		return ""
	}
}

func (p *printer) began(r *oomlog.Report) string {
	if r.Time.IsZero() && r.Date != "" {
		return Clean(r.Date, maxComm)
	}
	return p.when(r, r.Time, r.Uptime)
}

// noDate says what a date lacks.
func (p *printer) noDate(r *oomlog.Report) {
	switch {
	case r.Time.IsZero():
	case r.NoYear && r.NoZone:
		p.line("(the log has neither year nor time zone)")
	case r.NoYear:
		p.line("(the log has no year)")
	case r.NoZone:
		p.line("(the log has no time zone)")
	}
}

func (p *printer) victim(k oom.Kill) string {
	v := k.Victim
	text := fmt.Sprintf("%s (pid %d", Clean(v.Comm, maxComm), v.PID)
	if v.TGID != 0 && v.TGID != v.PID {
		text += fmt.Sprintf(", a thread of %d", v.TGID)
	}
	if uid, ok := v.UID.Get(); ok {
		text += fmt.Sprintf(", uid %d", uid)
	}
	if v.AdjKnown {
		text += fmt.Sprintf(", oom_score_adj %d", v.Adj)
	}
	text += ")"
	if rss := v.AnonRSS.Plus(v.FileRSS); rss.IsSet() {
		text += ": " + size(oom.Of(rss.Or(0)+v.ShmemRSS.Or(0))) + " resident"
	}
	if v.Swap.Or(0) > 0 {
		text += ", " + size(v.Swap) + " swapped"
	}
	return text
}

// group prints a cgroup's path, and its name if it is known.
func (p *printer) group(path string) string {
	text := Clean(path, maxPath)
	if p.opts.Name != nil {
		if name := p.opts.Name(path); name != "" {
			text += " (" + Clean(name, maxPath) + ")"
		}
	}
	return text
}

func (p *printer) limit(r *oomlog.Report) string {
	switch {
	case r.Sysrq:
		return "none: somebody asked for a kill by sysrq"
	case r.Global:
		return "the node's memory" + constraintText(r)
	case r.LimitPath == "" && r.Constraint != oom.ConstraintMemcg && !r.Memory.Usage.IsSet():
		return "not in the log"
	}
	text := "of a memory cgroup that the log does not name"
	if r.LimitPath != "" {
		text = p.group(r.LimitPath)
	}
	name, u := r.Binding()
	if u.Usage.IsValue() {
		text += ": "
		if name != "memory" {
			text += name + " "
		}
		text += size(u.Usage) + " used of " + size(u.Limit)
	}
	if n, ok := u.Failcnt.Get(); ok && n > 1 {
		text += fmt.Sprintf(", hit %d times so far", n)
	}
	return text
}

func constraintText(r *oomlog.Report) string {
	text := ""
	switch {
	case r.Constraint == oom.ConstraintCPUSet:
		text = ", in the NUMA nodes of a cpuset"
		if t := cpusetOf(r); t != "" {
			text = ", in the NUMA nodes of cpuset " + t
		}
	case r.Constraint == oom.ConstraintPolicy, r.NodeMask != "":
		text = ", in the NUMA nodes of a memory policy"
	default:
		return ""
	}
	if r.NodeMask != "" {
		return text + ": " + Clean(r.NodeMask, maxComm)
	}
	if r.MemsAllowed != "" {
		text += ": " + Clean(r.MemsAllowed, maxComm)
	}
	return text
}

// cpusetOf returns the name of the trigger's cpuset.
func cpusetOf(r *oomlog.Report) string {
	path := r.CPUSet
	if r.Trigger != nil && r.Trigger.CPUSetPath != "" {
		path = r.Trigger.CPUSetPath
	}
	return Clean(strings.TrimPrefix(path, "/"), maxPath)
}

func (p *printer) trigger(r *oomlog.Report) string {
	t := r.Trigger
	if t == nil {
		return "not in the log"
	}
	text := Clean(t.Comm, maxComm)
	if t.PID != 0 {
		text += fmt.Sprintf(" (pid %d)", t.PID)
	}
	switch victim := firstVictim(r); {
	case r.Sysrq:
		text += ", on behalf of sysrq"
	case victim != nil && t.PID != 0 && (victim.PID == t.PID || victim.TGID == t.PID):
		text += ", the victim itself"
	case victim != nil && t.PID != 0:
		text += ", not the victim"
	}
	if !r.Sysrq && t.Order > 0 {
		text += fmt.Sprintf(", asked for %d contiguous pages (order %d)", uint64(1)<<min(t.Order, 32), t.Order)
	}
	if strings.HasPrefix(t.GFPMask, "0x0") && (t.GFPMask == "0x0" || strings.HasPrefix(t.GFPMask, "0x0(")) && !r.Sysrq {
		text += ", in a page fault that had failed (gfp_mask 0x0, VM_FAULT_OOM): memory need not have been short"
	}
	if cpuset := strings.TrimPrefix(t.CPUSetPath, "/"); cpuset != "" {
		text += ", in cpuset " + Clean(cpuset, maxPath)
	}
	return text
}

func firstVictim(r *oomlog.Report) *oom.Victim {
	if len(r.Kills) == 0 {
		return nil
	}
	return &r.Kills[0].Victim
}

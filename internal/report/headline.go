// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// width is the widest line of a report.
const width = 100

// headline says it all in one sentence.
func (p *printer) headline(r *oomlog.Report) string {
	why := p.why(r)
	n := deaths(r.Kills)
	switch {
	case r.Panic != "":
		return fmt.Sprintf("The kernel panicked instead of killing because %s (%s).", why, Clean(r.Panic, maxMask))
	case r.NoKillable:
		return "Nothing could be killed when " + why + ": every process there is protected from the OOM killer."
	case n == 0 && len(r.Exiting) > 0:
		return "Nothing was killed when " + why + ": the chosen process was already exiting."
	case n == 0:
		return "The log does not say who was killed when " + why + "."
	case n > 1 || r.GroupPath != "":
		path := r.GroupPath
		if path == "" {
			path = r.VictimPath
		}
		of := ""
		if path != "" {
			of = " of " + p.short(path)
		}
		return fmt.Sprintf("%s%s killed together (memory.oom.group) because %s.", count(n, "process", "processes"), of+verb(n), why)
	}
	v := r.Kills[0].Victim
	if r.Reaped {
		return fmt.Sprintf("%s (pid %d) was killed by the OOM killer; the log does not say why.", Clean(v.Comm, maxComm), v.PID)
	}
	if r.Chosen != nil {
		return fmt.Sprintf("%s (pid %d) was chosen to be killed because %s.", Clean(v.Comm, maxComm), v.PID, why)
	}
	return fmt.Sprintf("%s (pid %d) was killed because %s.", Clean(v.Comm, maxComm), v.PID, why)
}

func (p *printer) why(r *oomlog.Report) string {
	allocating := len(r.Kills) > 0 && r.Kills[0].Allocating
	switch {
	case r.Sysrq:
		return "somebody asked for it by sysrq"
	case allocating:
		return "the node ran out of memory just as it asked for some (vm.oom_kill_allocating_task)"
	case r.Global && r.Constraint == oom.ConstraintCPUSet:
		return "the NUMA nodes of its cpuset ran out of memory"
	case r.Global && r.Constraint == oom.ConstraintPolicy:
		return "the NUMA nodes of its memory policy ran out of memory"
	case (r.Global || r.Constraint == oom.ConstraintNone) && r.NodeMask != "":
		return "the NUMA nodes of its memory policy ran out of memory"
	case r.Global, r.Constraint == oom.ConstraintNone:
		return "the node ran out of memory"
	case r.LimitPath != "":
		return p.short(r.LimitPath) + " reached its " + limitReached(r)
	case r.Constraint == oom.ConstraintMemcg, r.Memory.Limit.IsValue():
		return "a memory cgroup, which the log does not name, reached its " + limitReached(r)
	default:
		return "memory ran out"
	}
}

// limitReached says which limit was hit: cgroup v1 has several.
func limitReached(r *oomlog.Report) string {
	name, u := r.Binding()
	reached := "memory limit"
	switch name {
	case "memory+swap":
		reached = "memory+swap limit"
	case "kmem":
		reached = "kernel memory limit"
	}
	if u.Limit.IsValue() {
		reached += " of " + size(u.Limit)
	}
	return reached
}

func verb(n int) string {
	if n == 1 {
		return " was"
	}
	return " were"
}

// short names a cgroup within a sentence; its whole path is printed further below.
func (p *printer) short(path string) string {
	if p.opts.Name != nil {
		if name := p.opts.Name(path); name != "" {
			return Clean(name, 80)
		}
	}
	text := Clean(path, maxPath)
	if len(text) <= 56 {
		return text
	}
	base := text[strings.LastIndexByte(text, '/')+1:]
	if r := []rune(base); len(r) > 52 {
		base = string(r[:36]) + "..." + string(r[len(r)-12:])
	}
	return ".../" + base
}

// labelWidth is the width of an item's label.
const labelWidth = 9

// item prints a label and its text, folded.
func (p *printer) item(label, text string) {
	lead := "  " + pad(label, labelWidth)
	p.folded(lead, text)
}

// glue is a space at which no line is folded; Clean lets none through.
const glue = "\u00a0"

func (p *printer) wrapped(lead, text string) { p.folded(lead, text) }

// folded prints lead and text, and folds the text between words, and paths at
// their slashes where a word alone is too long.
func (p *printer) folded(lead, text string) {
	indent := strings.Repeat(" ", len(lead))
	room := width - len(lead)
	rest := text
	for {
		n := foldAt(rest, room)
		p.line(strings.ReplaceAll(lead+rest[:n], glue, " "))
		rest = strings.TrimLeft(rest[n:], " ")
		if rest == "" {
			return
		}
		lead = indent
	}
}

// foldAt returns how much of s fits into room columns.
func foldAt(s string, room int) int {
	columns, space, slash := 0, 0, 0
	for i, r := range s {
		if columns == room {
			switch {
			case r == ' ':
				return i
			case space > 0 && i-space < room*2/3:
				return space
			case slash > 0:
				return slash
			case space > 0:
				return space
			default:
				return i
			}
		}
		switch {
		case r == ' ':
			space = i
		case r == '/' && i > 0:
			slash = i
		}
		columns++
	}
	return len(s)
}

func pad(s string, n int) string {
	if len(s) >= n {
		return s + " "
	}
	return s + strings.Repeat(" ", n-len(s))
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

const mib = 1 << 20

// size prints bytes for people.
func size(a oom.Amount) string {
	n, ok := a.Get()
	switch {
	case a.IsUnlimited():
		return "no limit"
	case !ok:
		return "?"
	default:
		return strings.ReplaceAll(text.Size(n), " ", glue)
	}
}

// mibs prints bytes as MiB, for tables.
func mibs(a oom.Amount) string {
	n, ok := a.Get()
	if !ok {
		return "?"
	}
	return fmt.Sprintf("%.1f", float64(n)/mib)
}

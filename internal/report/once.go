// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// groupGap is how far apart the lines of one group kill can be.
const groupGap = 2 * time.Second

// joinGroups puts the kills of a group kill whose announcement is missing into the
// report of its first victim, by the second line about that victim.
func joinGroups(reports []oomlog.Report) []oomlog.Report {
	var out []oomlog.Report
	for _, r := range reports {
		if n := len(out); n > 0 {
			if takePanic(&out[n-1], &r) {
				continue
			}
			takeMembers(&out[n-1], &r)
		}
		if r.Headless && len(r.Kills) == 0 {
			continue
		}
		out = append(out, r)
	}
	return out
}

// takePanic moves a panic to the report before it, which had nothing to kill.
func takePanic(r, next *oomlog.Report) bool {
	if !r.NoKillable || next.Panic == "" || next.Trigger != nil || next.Host != r.Host || next.Boot != r.Boot {
		return false
	}
	r.Panic, r.Global = next.Panic, r.Global || next.Global
	return true
}

// takeMembers moves kills from next to r: those up to and including the second line
// about the first victim of r.
func takeMembers(r, next *oomlog.Report) {
	if len(r.Kills) == 0 || !next.Headless || next.GroupPath != "" || next.Host != r.Host {
		return
	}
	first := &r.Kills[len(r.Kills)-1]
	if !r.Headless {
		first = &r.Kills[0]
	}
	for i := range next.Kills {
		k := &next.Kills[i]
		if !k.Duplicate || k.Victim.PID != first.Victim.PID {
			continue
		}
		for j := range i + 1 {
			next.Kills[j].GroupKill = true
		}
		first.GroupKill = true
		r.Kills = append(r.Kills, next.Kills[:i+1]...)
		next.Kills = next.Kills[i+1:]
		return
	}
}

// dropReaped drops lines about reaped processes, except those about kills that
// nothing else in the log tells of.
func dropReaped(reports []oomlog.Report) []oomlog.Report {
	type process struct {
		host string
		pid  int
		comm string
	}
	told := map[process]bool{}
	for i := range reports {
		r := &reports[i]
		for j := range r.Kills {
			v := &r.Kills[j].Victim
			told[process{r.Host, v.PID, v.Comm}] = true
		}
		if r.Chosen != nil && !r.Reaped {
			told[process{r.Host, r.Chosen.PID, r.Chosen.Comm}] = true
		}
	}
	return slices.DeleteFunc(reports, func(r oomlog.Report) bool {
		if !r.Reaped {
			return false
		}
		p := process{r.Host, r.Chosen.PID, r.Chosen.Comm}
		again := told[p]
		told[p] = true
		return again
	})
}

// addChosen makes a kill of a chosen process whose Killed line is not in the log.
func addChosen(r *oomlog.Report) {
	if r.Chosen == nil || len(r.Kills) > 0 {
		return
	}
	k := oom.Kill{
		Time: r.Time, Approximate: r.Approximate, Uptime: r.Uptime, Seq: r.Seq,
		Constraint: r.Constraint, Global: r.Global, LimitPath: r.LimitPath, VictimPath: r.VictimPath,
		Victim: *r.Chosen, Trigger: r.Trigger, Sysrq: r.Sysrq, Partial: true,
	}
	if r.VictimPath != "" {
		k.Evidence = "report"
	}
	switch {
	case r.Constraint == oom.ConstraintCPUSet, r.Constraint == oom.ConstraintPolicy:
		k.Level = oom.LevelNUMA
	case r.Global:
		k.Level = oom.LevelNode
	default:
		_, u := r.Binding()
		k.Usage, k.Limit = u.Usage, u.Limit
	}
	r.Kills = append(r.Kills, k)
}

// death is what is the same in two lines about one kill.
type death struct {
	pid               int
	comm              string
	total, anon, file oom.Amount
	tables            oom.Amount
}

func deathOf(k *oom.Kill) death {
	v := &k.Victim
	return death{v.PID, v.Comm, v.TotalVM, v.AnonRSS, v.FileRSS, v.PageTables}
}

// told is a kill that was told, and where.
type told struct {
	report int
	host   string
	boot   string
	kill   oom.Kill
	noZone bool
}

// dropRepeated keeps each kill once where one log, or two together, have the same
// lines twice: the one with a report, if there is one.
func dropRepeated(reports []oomlog.Report) []oomlog.Report {
	seen := map[death][]told{}
	drop := make([]bool, len(reports))
	// Whole reports come first, so that theirs are the lines that stay.
	for _, headless := range []bool{false, true} {
		for i := range reports {
			if r := &reports[i]; r.Headless == headless {
				drop[i] = forget(r, i, reports, seen, drop)
			}
		}
	}
	var out []oomlog.Report
	for i := range reports {
		if !drop[i] {
			out = append(out, reports[i])
		}
	}
	return out
}

// forget drops what was told before: from a headless report the kills one by one,
// any other only as a whole. It tells whether nothing is left of the report.
func forget(r *oomlog.Report, at int, reports []oomlog.Report, seen map[death][]told, drop []bool) bool {
	var fresh []oom.Kill
	again := -1
	for i := range r.Kills {
		k := &r.Kills[i]
		key := deathOf(k)
		earlier := findTold(seen[key], r, k, at)
		if earlier < 0 {
			seen[key] = append(seen[key], told{at, r.Host, r.Boot, *k, r.NoZone})
			fresh = append(fresh, *k)
			continue
		}
		again = earlier
	}
	switch {
	case again < 0:
		return false
	case r.Headless:
		r.Kills = fresh
		return len(fresh) == 0
	case len(fresh) > 0:
		return false // half of it is new: better twice than never.
	}
	if r.Lines > reports[again].Lines && !drop[again] {
		// This one knows more.
		if r.Host == "" {
			r.Host = reports[again].Host
		}
		reports[again] = *r
	}
	return true
}

func findTold(list []told, r *oomlog.Report, k *oom.Kill, at int) int {
	for _, t := range list {
		if t.report != at && sameHost(t.host, r.Host) && sameBoot(t.boot, r.Boot) && sameMoment(&t, r, k) {
			return t.report
		}
	}
	return -1
}

func sameHost(a, b string) bool { return a == b || a == "" || b == "" }

// sameBoot compares boot ids; boot numbers mean something only within one file.
func sameBoot(a, b string) bool {
	const id = 32
	return a == b || len(a) < id || len(b) < id
}

// sameMoment tells whether two lines can be of one moment, as far as their
// clocks can be compared.
func sameMoment(t *told, r *oomlog.Report, k *oom.Kill) bool {
	if t.kill.Uptime > 0 && k.Uptime > 0 {
		return (t.kill.Uptime - k.Uptime).Abs() <= time.Second
	}
	if t.kill.Time.IsZero() || k.Time.IsZero() {
		return true
	}
	apart := t.kill.Time.Sub(k.Time).Abs()
	switch {
	case apart <= groupGap:
		return true
	case t.noZone || r.NoZone:
		const quarter = 15 * time.Minute
		rest := apart % quarter
		return apart <= 15*time.Hour && min(rest, quarter-rest) <= groupGap
	case t.kill.Approximate || k.Approximate:
		return apart <= 5*time.Minute
	default:
		return false
	}
}

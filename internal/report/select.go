// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// Selection says which reports to tell. A report without the value that is asked
// for is left out.
type Selection struct {
	Since, Until time.Time // zero: without end.
	Host         string
	PID          int    // of a victim.
	Cgroup       string // of the limit or the victim, or a part of it.
	Kill         int    // the number of a kill, from 1, in the order of the log.
}

// keep returns the reports that are selected.
func (s Selection) keep(reports []oomlog.Report) []oomlog.Report {
	if s == (Selection{}) {
		return reports
	}
	var out []oomlog.Report
	n := 0
	for _, r := range reports {
		first := n + 1
		n += deaths(r.Kills)
		if s.wants(&r) && (s.Kill == 0 || s.Kill >= first && s.Kill <= n) {
			out = append(out, r)
		}
	}
	return out
}

func (s Selection) wants(r *oomlog.Report) bool {
	switch {
	case (!s.Since.IsZero() || !s.Until.IsZero()) && r.Time.IsZero(),
		!s.Since.IsZero() && r.Time.Before(s.Since),
		!s.Until.IsZero() && r.Time.After(s.Until),
		s.Host != "" && !strings.EqualFold(s.Host, r.Host):
		return false
	}
	if s.Cgroup != "" && !strings.Contains(r.LimitPath, s.Cgroup) && !strings.Contains(r.VictimPath, s.Cgroup) && !strings.Contains(r.GroupPath, s.Cgroup) {
		return false
	}
	if s.PID == 0 {
		return true
	}
	for i := range r.Kills {
		if v := &r.Kills[i].Victim; v.PID == s.PID || v.TGID == s.PID {
			return true
		}
	}
	return false
}

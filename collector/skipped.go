// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// skipCount is how much was left out for one reason.
type skipCount struct {
	kind string
	n    uint64
}

// countSkipped adds what this scrape left out to the totals and exposes them.
func (s *Set) countSkipped(sc Scrape, out *sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := sc.Skipped()
	now.SeriesOverBound = out.refused
	s.logCrowd(now.Crowd)
	s.skipped.Add(now)
	out.countsSince(epochStart, s.begun)
	for _, k := range []skipCount{
		{"group_vanished", s.skipped.VanishedGroups},
		{"group_unreadable", s.skipped.UnreadableGroups},
		{"group_over_limit", s.skipped.GroupsOverBound},
		{"group_too_deep", s.skipped.GroupsTooDeep},
		{"process_vanished", s.skipped.VanishedProcesses},
		{"process_unreadable", s.skipped.UnreadableProcesses},
		{"process_over_limit", s.skipped.ProcessesOverBound},
		{"workload_folded", s.skipped.WorkloadsFolded},
		{"victim_over_limit", s.skipped.VictimsOverBound},
		{"series_over_limit", s.skipped.SeriesOverBound},
	} {
		s.table.skips.emitCopy(out, k)
	}
}

// logCrowd logs the cgroup below which the most cgroups are left out, when it changes.
func (s *Set) logCrowd(crowd oom.Crowd) {
	before := s.crowded
	s.crowded = crowd.Path
	switch {
	case crowd.Path == before:
	case crowd.Path == "":
		_ = level.Info(s.o.Logger).Log("msg", "all cgroups are read again")
	default:
		_ = level.Warn(s.o.Logger).Log("msg", "more cgroups than --limits.groups: some are left out", "most_below", text.Label(crowd.Path), "left_out", crowd.LeftOut)
	}
}

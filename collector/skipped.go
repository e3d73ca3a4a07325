// SPDX-License-Identifier: Apache-2.0

package collector

// countSkipped adds what this scrape left out to the totals and exposes them.
func (s *Set) countSkipped(sc Scrape, out *sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipped.Add(sc.Skipped())
	for _, k := range []struct {
		kind string
		n    uint64
	}{
		{"group_vanished", s.skipped.VanishedGroups},
		{"group_unreadable", s.skipped.UnreadableGroups},
		{"group_over_limit", s.skipped.GroupsOverBound},
		{"process_vanished", s.skipped.VanishedProcesses},
		{"process_unreadable", s.skipped.UnreadableProcesses},
		{"process_over_limit", s.skipped.ProcessesOverBound},
	} {
		out.add(skipped, float64(k.n), s.labels.pairs(shapeKind, k.kind))
	}
}

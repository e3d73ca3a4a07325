// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"fmt"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// However many workloads there are, a scrape has no more series of them than it
// may have; what is left out is counted, and the node's own families and the
// kills have theirs.
func TestMaxSeries(t *testing.T) {
	h := fullHost()
	for i := range 500 {
		row := web()
		row.Group = &oom.Group{GroupID: row.GroupID, Usage: oom.Of(1), Identity: oom.Identity{Workload: oom.Workload{Container: fmt.Sprint("c", i)}}}
		h.groups.Containers = append(h.groups.Containers, row)
		h.totals.Workloads = append(h.totals.Workloads, oom.WorkloadKills{Workload: row.Workload, Kills: 1, OOMs: 1})
	}
	for _, most := range []int{0, 1, 100, 1000, 2500, 100_000} {
		s := New(h, Options{Kills: h, MaxSeries: most})
		for range 2 {
			mfs, done, err := s.Gather(Request{})
			if err != nil {
				t.Fatal(err)
			}
			open, kills, left := 0, 0, 0.0
			have := map[string]bool{}
			for _, mf := range mfs {
				have[mf.GetName()] = true
				for _, m := range mf.Metric {
					switch name := mf.GetName(); {
					case name == "oom_exporter_skipped_total" && m.Label[0].GetValue() == "series_over_limit":
						left = m.Counter.GetValue()
					case name == "oom_container_kills_total":
						kills++
					}
				}
				for _, f := range s.table {
					if f.name == mf.GetName() && f.labels.isOpen() {
						open += len(mf.Metric)
					}
				}
			}
			done()
			bounded := most > 0 && most < 100_000
			if bounded && open > most || bounded != (left > 0) {
				t.Errorf("at most %d: %d series, %v left out", most, open, left)
			}
			if bounded && most >= 1000 && kills < most/20 {
				t.Errorf("at most %d: %d series of kills", most, kills)
			}
			for _, name := range []string{"oom_node_kill_margin_bytes", "oom_kills_total", "oom_pending_kills", "oom_scrape_collector_success"} {
				if !have[name] {
					t.Errorf("at most %d: no %s", most, name)
				}
			}
		}
	}
}

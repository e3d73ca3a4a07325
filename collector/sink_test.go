// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Whoever was given the families may sort them; the next scrape, which uses their
// memory again, is as any other.
func TestFamiliesBelongToTheReader(t *testing.T) {
	h := fullHost()
	h.skipped = oom.Skipped{} // which would add up.
	h.groups.Containers = append(h.groups.Containers, manyContainers(300).groups.Containers...)
	s := New(h, Options{})
	want := exposition(t, s, Request{})
	mfs, done, err := s.Gather(Request{})
	if err != nil {
		t.Fatal(err)
	}
	for _, mf := range mfs {
		slices.Reverse(mf.Metric)
	}
	done()
	if d := cmp.Diff(want, exposition(t, s, Request{})); d != "" {
		t.Errorf("another scrape after the sorting:\n%s", d)
	}
}

// However many workloads there are, a scrape has no more series of them than it
// may have; what is left out is counted, and the node's own families and the
// kills have theirs.
func TestMaxSeries(t *testing.T) {
	h := fullHost()
	for i := range 500 {
		row := web()
		row.Group = &oom.Group{GroupID: row.GroupID, Usage: oom.Of(1), Identity: oom.Identity{Workload: oom.Workload{Container: fmt.Sprint("c", i)}}}
		h.groups.Containers = append(h.groups.Containers, row)
		h.totals.Workloads = append(h.totals.Workloads, oom.WorkloadKills{Workload: row.Workload, Kills: 1, OOMs: 1, Last: &oom.Kill{}})
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
				if len(mf.Metric[0].Label) > 1 || mf.Metric[0].Label != nil && mf.Metric[0].Label[0].GetName() == "cgroup" {
					open += len(mf.Metric) // the others have one label, of few values, or none.
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

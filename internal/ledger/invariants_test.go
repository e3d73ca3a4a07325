// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Balance returns an error where the numbers do not balance; see the package
// comment.
func (v *View) Balance() error {
	var attributed, byLevel uint64
	for i := range v.Workloads {
		attributed += v.Workloads[i].Kills
	}
	attributed += v.Evicted
	for _, n := range v.ByLevel {
		byLevel += n
	}
	if sum := int64(attributed+v.Unattributed+v.Pending+v.Duplicates) - v.Debt; sum != v.Step {
		return fmt.Errorf("vmstat moved by %d, but %d attributed + %d unattributed + %d pending + %d duplicates - %d debt",
			v.Step, attributed, v.Unattributed, v.Pending, v.Duplicates, v.Debt)
	}
	if byLevel != attributed+v.Unattributed {
		return fmt.Errorf("%d kills by level, but %d attributed + %d unattributed", byLevel, attributed, v.Unattributed)
	}
	return nil
}

// NotBelow returns an error where a counter is lower than in an earlier view of
// the same boot: with a state file that never happens, over any restart. A
// workload may be missing only if its kills are among the evicted.
func (v *View) NotBelow(earlier View) error {
	for _, c := range []struct {
		name     string
		was, now uint64
	}{
		{"unattributed", earlier.Unattributed, v.Unattributed},
		{"duplicates", earlier.Duplicates, v.Duplicates},
		{"evicted", earlier.Evicted, v.Evicted},
	} {
		if c.now < c.was {
			return fmt.Errorf("%s went from %d to %d", c.name, c.was, c.now)
		}
	}
	now := make(map[oom.Workload]oom.WorkloadKills, len(v.Workloads))
	for _, w := range v.Workloads {
		now[w.Workload] = w
	}
	evicted := v.Evicted - earlier.Evicted
	for _, was := range earlier.Workloads {
		w, ok := now[was.Workload]
		if !ok && was.Kills <= evicted {
			evicted -= was.Kills
			continue
		}
		if w.Kills < was.Kills || w.OOMs < was.OOMs || w.Survived < was.Survived {
			return fmt.Errorf("%v went from %d kills, %d OOMs, %d survived to %d, %d, %d",
				was.Workload, was.Kills, was.OOMs, was.Survived, w.Kills, w.OOMs, w.Survived)
		}
	}
	for level, was := range earlier.ByLevel {
		if v.ByLevel[level] < was {
			return fmt.Errorf("kills of level %v went from %d to %d", level, was, v.ByLevel[level])
		}
	}
	return nil
}

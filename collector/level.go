// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

type podCollector struct{ *Set }

func (c podCollector) update(s Scrape, out *sink) error {
	groups, err := s.Groups()
	if err != nil {
		return err
	}
	for i := range groups.Pods {
		r := &groups.Pods[i]
		if c.o.Keep.keepsPod(r.Workload) {
			levelSamples(out, podUsage, r, c.labels.pairs(shapePod, r.Workload.Namespace, r.Workload.Pod))
		}
	}
	return nil
}

type sliceCollector struct{ *Set }

func (c sliceCollector) update(s Scrape, out *sink) error {
	groups, err := s.Groups()
	if err != nil {
		return err
	}
	for i := range groups.Slices {
		r := &groups.Slices[i]
		levelSamples(out, sliceUsage, r, c.labels.pairs(shapeCgroup, r.Path))
	}
	return nil
}

// levelSamples adds the seven families that pods and slices have alike, first being
// the first of them in the table.
func levelSamples(out *sink, first id, r *oom.Row, pairs *labels) {
	usage, workingSet, limit, margin := common(r)
	for i, a := range []oom.Amount{usage, workingSet, limit, r.Unreclaimable, margin} {
		out.amount(first+id(i), a, pairs)
	}
	if r.Margin.Known {
		out.add(first+(podKillMargin-podUsage), float64(r.Margin.Bytes), pairs)
		out.add(first+(podKillMarginRatio-podUsage), r.Margin.Ratio, pairs)
	}
}

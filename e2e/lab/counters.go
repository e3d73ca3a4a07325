// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// KillCounters are the counters of kills that a scrape shows, by series.
func (m Metrics) KillCounters() map[string]float64 {
	all := map[string]float64{}
	for name, family := range m {
		if !strings.HasPrefix(name, "oom_") || strings.HasPrefix(name, "oom_exporter_") || family.GetType() != dto.MetricType_COUNTER {
			continue
		}
		if !strings.Contains(name, "kill") && !strings.Contains(name, "ooms") {
			continue
		}
		for _, s := range family.GetMetric() {
			all[fmt.Sprint(name, s.GetLabel())] = Number(s)
		}
	}
	return all
}

// Fallen lists the counters that are lower than they were, or gone.
func Fallen(before, after map[string]float64) (list []string) {
	for series, was := range before {
		if now := after[series]; now < was {
			list = append(list, fmt.Sprintf("%s: %v -> %v", series, was, now))
		}
	}
	slices.Sort(list)
	return list
}

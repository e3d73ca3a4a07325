// SPDX-License-Identifier: Apache-2.0

package collector

import "github.com/oom-exporter/oom_exporter/internal/oom"

// podFamilies are those of pods and of limited slices: the same numbers, one
// level up.
func (t *table) podFamilies() {
	levelFamilies(t.pods, "oom_pod_", "")
	t.podKills.add(family{name: "oom_pod_limit_kills_total", typ: counter, profile: ProfileMinimal, help: "Kills for which the pod's own limit was the reason; 0 from a limited pod's first scrape.", source: "docs/ledger.md"}, func(r *oom.PodKills) (float64, bool) { return float64(r.LimitKills), true })
	levelFamilies(t.slices, "oom_slice_", " Slices nest: don't sum.")
}

// levelFamilies are the seven that pods and slices have alike.
func levelFamilies(l *rows[oom.Row], prefix, note string) {
	l.add(family{name: prefix + "memory_usage_bytes", typ: gauge, help: "Memory charged, page cache included." + note, source: "memory.current | memory.usage_in_bytes"}, func(r *oom.Row) (float64, bool) { return amount(r.Usage) })
	l.add(family{name: prefix + "memory_working_set_bytes", typ: gauge, help: "Usage minus inactive file pages, floored at 0." + note, source: "usage - inactive_file | total_inactive_file"}, func(r *oom.Row) (float64, bool) { return amount(r.WorkingSet()) })
	l.add(family{name: prefix + "memory_limit_bytes", typ: gauge, profile: ProfileMinimal, help: "Own limit; no series when unlimited." + note, source: "memory.max | memory.limit_in_bytes"}, func(r *oom.Row) (float64, bool) { return amount(r.Limit) })
	l.add(family{name: prefix + "memory_unreclaimable_bytes", typ: gauge, profile: ProfileMinimal, help: "The part of the usage that reclaim can't free." + note, source: "docs/margins.md"}, func(r *oom.Row) (float64, bool) { return amount(r.Unreclaimable) })
	l.add(family{name: prefix + "limit_margin_bytes", typ: gauge, help: "Own limit minus working set." + note, source: "limit - working set"}, func(r *oom.Row) (float64, bool) { return amount(limitMargin(r)) })
	l.add(family{name: prefix + "kill_margin_bytes", typ: gauge, profile: ProfileMinimal, help: "Bytes that may still be allocated before the kernel must kill in a scope that holds it. Minima do not add up: never sum." + note, source: "docs/margins.md"}, func(r *oom.Row) (float64, bool) { return float64(r.Margin.Bytes), r.Margin.Known })
	l.add(family{name: prefix + "kill_margin_ratio", typ: gauge, help: "Kill margin divided by the limit that binds." + note, source: "docs/margins.md"}, func(r *oom.Row) (float64, bool) { return r.Margin.Ratio, r.Margin.Known })
}

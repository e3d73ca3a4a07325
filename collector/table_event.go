// SPDX-License-Identifier: Apache-2.0

package collector

import "github.com/oom-exporter/oom_exporter/internal/oom"

// eventFamilies are those of the kills of the whole machine, and of the sources that
// kills are known from.
func (t *table) eventFamilies() {
	t.levels.add(family{name: "oom_kills_total", typ: counter, profile: ProfileMinimal, since: epochKills, help: "OOM kills by the kind of limit that was hit; all levels present at 0.", source: "docs/ledger.md"}, func(r *levelKills) (float64, bool) { return float64(r.kills), true })
	t.totals.add(family{name: "oom_pending_kills", typ: gauge, profile: ProfileMinimal, help: "Kills that are counted by the kernel and not yet attributed; they wait 10 s for evidence.", source: "docs/ledger.md"}, func(r *oom.KillTotals) (float64, bool) { return float64(r.Pending), true })
	t.totals.add(family{name: "oom_unattributed_kills_total", typ: counter, profile: ProfileMinimal, since: epochKills, help: "Kills for which no evidence named a workload in time.", source: "docs/ledger.md"}, func(r *oom.KillTotals) (float64, bool) { return float64(r.Unattributed), true })
	t.totals.add(family{name: "oom_evicted_kills_total", typ: counter, since: epochKills, help: "Kills of dead workloads whose series were dropped to bound their number.", source: "docs/ledger.md"}, func(r *oom.KillTotals) (float64, bool) { return float64(r.Evicted), true })
	t.totals.add(family{name: "oom_kill_duplicates_total", typ: counter, since: epochKills, help: "Kills that the kernel counted twice: the first victim of a group kill.", source: "docs/ledger.md"}, func(r *oom.KillTotals) (float64, bool) { return float64(r.Duplicates), true })
	t.totals.add(family{name: "oom_kmsg_records_lost_total", typ: counter, profile: ProfileMinimal, help: "Kernel log records that were overwritten before they could be read.", source: "sequence gaps of /dev/kmsg"}, func(r *oom.KillTotals) (float64, bool) { return float64(r.RecordsLost), true })
	t.totals.add(family{name: "oom_trace_events_lost_total", typ: counter, help: "Victims that the buffers of the traces of victims (tracefs, BPF) lost; only once such a trace is in use. They are counted as kills all the same.", source: "tracefs: LOST EVENTS; BPF: a full ring"}, func(r *oom.KillTotals) (float64, bool) { return amount(r.TraceEventsLost) })
	t.totals.add(family{name: "oom_state_unsaved_seconds", typ: gauge, help: "Age of the oldest change that the state file lacks; only with --state.file. Kills are shown when they are saved, so this is also how late they are shown.", source: "docs/ledger.md"}, func(r *oom.KillTotals) (float64, bool) { return r.Unsaved.Seconds(), r.HasState })
	t.recorderFamilies()
	t.sources.add(family{name: "oom_event_source_up", typ: gauge, profile: ProfileMinimal, help: "1 while a source of kill events delivers; only sources that are switched on.", source: "-"}, func(r *oom.Source) (float64, bool) { return boolean(r.Up), true })
}

// recorderFamilies are those of the flight recorder's health.
func (t *table) recorderFamilies() {
	t.recorder.add(family{name: "oom_recorder_interval_seconds", typ: gauge, help: "Time between two samples of a cgroup whose usage moves; 1 unless there are very many cgroups.", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return r.Interval.Seconds(), true })
	t.recorder.add(family{name: "oom_recorder_cgroups", typ: gauge, help: "Memory cgroups that the flight recorder samples.", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return float64(r.Cgroups), true })
	t.recorder.add(family{name: "oom_recorder_fast_cgroups", typ: gauge, help: "Of these, those near a limit, which are sampled every 100 ms; 64 at most.", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return float64(r.Fast), true })
	t.recorder.add(family{name: "oom_recorder_skipped_cgroups", typ: gauge, help: "Memory cgroups that are not sampled because of --limits.groups; a lower bound.", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return float64(r.Over), true })
	t.recorder.add(family{name: "oom_recorder_samples_total", typ: counter, help: "Samples of usage taken of all cgroups.", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return float64(r.Samples), true })
	t.recorder.add(family{name: "oom_recorder_full_samples_total", typ: counter, help: "Samples taken of all cgroups with what usage consists of; each costs as much as ten of usage alone.", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return float64(r.FullSamples), true })
	t.recorder.add(family{name: "oom_recorder_recordings", typ: gauge, help: "Recordings of the time before a kill that are kept.", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return float64(r.Recordings), true })
	t.recorder.add(family{name: "oom_recorder_recordings_dropped_total", typ: counter, help: "Recordings that gave way to newer ones (--recorder.keep).", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return float64(r.RecordingsDropped), true })
	t.recorder.add(family{name: "oom_recorder_unsaved_seconds", typ: gauge, help: "Age of the oldest recording that is not saved yet; only with --state.file.", source: "docs/recorder.md"}, func(r *oom.RecorderHealth) (float64, bool) { return r.Unsaved.Seconds(), r.HasFile })
}

// scrapeFamilies are those of the scrape itself.
func (t *table) scrapeFamilies() {
	t.runs.add(family{name: "oom_scrape_collector_duration_seconds", typ: gauge, help: "How long a collector took in this scrape.", source: "-"}, func(r *collectorRun) (float64, bool) { return r.took.Seconds(), true })
	t.runs.add(family{name: "oom_scrape_collector_success", typ: gauge, profile: ProfileMinimal, help: "1 if a collector did its work in this scrape, else 0.", source: "-"}, func(r *collectorRun) (float64, bool) { return boolean(r.success), true })
	t.skips.add(family{name: "oom_exporter_skipped_total", typ: counter, profile: ProfileMinimal, since: epochStart, help: "What a scrape left out: cgroups and processes that vanished half-way, were unreadable or over a bound (--limits.*), workloads of one user shown as one, and series over a bound.", source: "-"}, func(r *skipCount) (float64, bool) { return float64(r.n), true })
}

// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// metrics turns the guard's statistics into metrics, at the time of a scrape.
type metrics struct {
	policy guard.Policy
	stats  func() guard.Stats
	off    func() bool
	events func() (sent, failed, dropped uint64) // nil: no events.
	// warnings by HTTP; nil: none.
	warnings func() (sent, failed, dropped uint64)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("oom_guard_"+name, help, labels, nil)
}

var (
	descGroups    = desc("groups", "Groups that are watched, by how: notice (the kernel tells) or poll.", "by")
	descThreshold = desc("threshold_bytes", "Usage from which the guard acts: the limit less the margin. A pod's own limit has an empty container.", "namespace", "pod", "container")
	descPolicy    = desc("policy_info", "Always 1; policy is noop, process or container.", "policy")
	descOff       = desc("switched_off", "1 while the kill switch's file is there, else 0.")
	descCrossings = desc("crossings_total", "How often a group was seen to rise over its threshold.")
	descNotices   = desc("notices_total", "Notices of the kernel, by what they are about.", "source")
	descReclaims  = desc("reclaims_total", "How often reclaim was asked for.")
	descRefused   = desc("reclaim_failures_total", "How often the kernel refused or could not be asked.")
	descReclaimed = desc("reclaimed_bytes_total", "By how much usage fell through that.")
	descActions   = desc("actions_total", "Looks at a group over its threshold, by what came of them.", "policy", "outcome")
	descKilled    = desc("killed_processes_total", "Processes that were sent SIGKILL, each of them, also where an error came after. Those that a runtime ended for the guard are among them.")
	descReaction  = desc("reaction_seconds", "From the look that found a group about to reach its limit to the end of the kill, or to where it would have been.")
	descStages    = desc("stages_total", "What was done before a kill, by stage: warn, throttle or term (SIGTERM). Reclaim and kills have families of their own.", "stage")
	descWarnings  = desc("warnings_total", "Warnings by HTTP, by result: sent, failed or dropped. Only with --warn.url.", "result")
	descScans     = desc("scans_total", "Passes over all groups, by result.", "result")
	descEvents    = desc("kubernetes_events_total", "Events for the API server, by result: sent, failed or dropped. Only with --kubernetes-events.", "result")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descGroups, descThreshold, descPolicy, descOff, descCrossings, descNotices, descReclaims, descRefused,
		descReclaimed, descActions, descKilled, descReaction, descStages, descWarnings, descScans, descEvents,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(descGroups, float64(len(s.Targets)-s.Polled), "notice")
	gauge(descGroups, float64(s.Polled), "poll")
	gauge(descPolicy, 1, string(m.policy))
	off := 0.0
	if m.off() {
		off = 1
	}
	gauge(descOff, off)
	m.thresholds(s.Targets, gauge)
	counter(descCrossings, s.Crossings)
	for kind, name := range map[guard.NoticeKind]string{
		guard.NoticeUsage: "usage", guard.NoticeEvents: "events", guard.NoticeLimit: "limit",
		guard.NoticeTree: "tree", guard.NoticePressure: "pressure",
	} {
		counter(descNotices, s.Notices[kind], name)
	}
	counter(descReclaims, s.Reclaims)
	counter(descRefused, s.ReclaimFailed)
	counter(descReclaimed, s.ReclaimedBytes)
	for _, o := range guard.Outcomes() {
		counter(descActions, s.Outcomes[o], string(m.policy), string(o))
	}
	counter(descKilled, s.Kills)
	counter(descScans, s.Scans-s.ScanFailures, "success")
	counter(descScans, s.ScanFailures, "failure")
	m.reactions(&s, ch)
	for _, stage := range guard.StageNames() {
		counter(descStages, s.Stages[stage], string(stage))
	}
	for d, counts := range map[*prometheus.Desc]func() (sent, failed, dropped uint64){descEvents: m.events, descWarnings: m.warnings} {
		if counts == nil {
			continue
		}
		sent, failed, dropped := counts()
		counter(d, sent, "sent")
		counter(d, failed, "failed")
		counter(d, dropped, "dropped")
	}
}

// thresholds gives each workload one series: if two cgroups have the same names, as
// during a restart, the first one by path gets it.
func (m *metrics) thresholds(targets []guard.Target, gauge func(*prometheus.Desc, float64, ...string)) {
	seen := make(map[oom.Workload]bool, len(targets))
	for i := range targets {
		w := targets[i].Workload
		w = oom.Workload{Namespace: text.Label(w.Namespace), Pod: text.Label(w.Pod), Container: text.Label(w.Container)}
		if seen[w] {
			continue
		}
		seen[w] = true
		gauge(descThreshold, float64(targets[i].Threshold), w.Namespace, w.Pod, w.Container)
	}
}

func (m *metrics) reactions(s *guard.Stats, ch chan<- prometheus.Metric) {
	var count uint64
	buckets := make(map[float64]uint64, len(s.Reactions))
	for i, bound := range guard.Buckets() {
		count += s.Reactions[i]
		buckets[bound] = count
	}
	count += s.Reactions[len(s.Reactions)-1]
	ch <- prometheus.MustNewConstHistogram(descReaction, count, s.ReactionSum, buckets)
}

// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// LogFields returns the keys and values of the one log line that a kill gets.
// What is not known is left out; the names are those of the JSON schema.
func LogFields(k *oom.Kill) []any {
	v := &k.Victim
	f := fields{}
	f.text("id", k.ID)
	f.text("namespace", k.Workload.Namespace)
	f.text("pod", k.Workload.Pod)
	f.text("container", k.Workload.Container)
	f.add("pid", v.PID)
	f.add("comm", Clean(v.Comm, maxComm))
	f.add("level", k.Level.String())
	f.text("constraint", string(k.Constraint))
	f.text("limit_cgroup", k.LimitPath)
	f.text("victim_cgroup", k.VictimPath)
	f.amount("usage_bytes", k.Usage)
	f.amount("limit_bytes", k.Limit)
	f.amount("anon_rss_bytes", v.AnonRSS)
	f.amount("file_rss_bytes", v.FileRSS)
	f.amount("shmem_rss_bytes", v.ShmemRSS)
	f.amount("swap_bytes", v.Swap)
	if v.AdjKnown {
		f.add("oom_score_adj", v.Adj)
	}
	f.amount("uid", v.UID)
	if t := k.Trigger; t != nil {
		f.add("trigger", Clean(t.Comm, maxComm))
		f.add("trigger_pid", t.PID)
	}
	f.flag("group_kill", k.GroupKill)
	f.flag("duplicate", k.Duplicate)
	f.flag("sysrq", k.Sysrq)
	f.flag("allocating_task", k.Allocating)
	f.flag("partial", k.Partial)
	f.text("evidence", k.Evidence)
	if !k.Time.IsZero() {
		f.add("killed_at", k.Time.UTC().Format(time.RFC3339Nano))
		f.flag("time_approximate", k.Approximate)
	}
	return f
}

type fields []any

func (f *fields) add(key string, value any) { *f = append(*f, key, value) }

func (f *fields) text(key, value string) {
	if value != "" {
		f.add(key, Clean(value, maxPath))
	}
}

func (f *fields) amount(key string, a oom.Amount) {
	if n, ok := a.Get(); ok {
		f.add(key, n)
	}
}

func (f *fields) flag(key string, set bool) {
	if set {
		f.add(key, true)
	}
}

// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// FromKills returns the document of recorded kills.
func FromKills(kills []oom.Kill) Document {
	d := Document{Schema: Schema, Kills: make([]Kill, 0, len(kills))}
	for i := range kills {
		d.Kills = append(d.Kills, fromKill(&kills[i], 0))
	}
	return d
}

// FromReports returns the document of a log: its kills and what was reported
// around them.
func FromReports(reports []oomlog.Report) Document {
	d := Document{Schema: Schema, Kills: []Kill{}}
	for i := range reports {
		d.Reports = append(d.Reports, fromReport(&reports[i], i+1))
		for j := range reports[i].Kills {
			k := fromKill(&reports[i].Kills[j], i+1)
			k.Host, k.Boot = d.Reports[i].Host, d.Reports[i].Boot
			d.Kills = append(d.Kills, k)
		}
	}
	return d
}

func fromKill(k *oom.Kill, id int) Kill {
	v := &k.Victim
	out := Kill{
		ID:   k.ID,
		Time: timePtr(k.Time), Approximate: k.Approximate, Uptime: seconds(k.Uptime),
		Seq: k.Seq, Report: id,
		Level: k.Level.String(), Constraint: Clean(string(k.Constraint), maxComm), Global: k.Global,
		LimitPath: Clean(k.LimitPath, maxPath), VictimPath: Clean(k.VictimPath, maxPath),
		Namespace: Clean(k.Workload.Namespace, maxPath),
		Pod:       Clean(k.Workload.Pod, maxPath),
		Container: Clean(k.Workload.Container, maxPath),
		Victim: Victim{
			PID: v.PID, TGID: v.TGID, Comm: Clean(v.Comm, maxComm), UID: ptr(v.UID),
			TotalVM: ptr(v.TotalVM), AnonRSS: ptr(v.AnonRSS), FileRSS: ptr(v.FileRSS), ShmemRSS: ptr(v.ShmemRSS),
			PageTables: ptr(v.PageTables), Swap: ptr(v.Swap),
		},
		Trigger: fromTrigger(k.Trigger),
		Usage:   ptr(k.Usage), Limit: ptr(k.Limit),
		GroupKill: k.GroupKill, Duplicate: k.Duplicate, Sysrq: k.Sysrq, Allocating: k.Allocating,
		Partial: k.Partial, History: k.History, Evidence: k.Evidence,
	}
	if v.AdjKnown {
		adj := v.Adj
		out.Victim.Adj = &adj
	}
	return out
}

func fromTrigger(t *oom.Trigger) *Trigger {
	if t == nil {
		return nil
	}
	return &Trigger{
		Comm: Clean(t.Comm, maxComm), PID: t.PID, Adj: t.Adj,
		GFPMask: Clean(t.GFPMask, maxMask), Order: t.Order, CPUSet: Clean(t.CPUSetPath, maxPath),
	}
}

func fromReport(r *oomlog.Report, id int) Report {
	k := rank(r)
	out := Report{
		ID: id, Seq: r.Seq, Host: Clean(r.Host, maxPath), Boot: Clean(r.Boot, maxComm), Time: timePtr(r.Time), Approximate: r.Approximate, Uptime: seconds(r.Uptime),
		Kernel: Clean(r.Release.Text, maxMask), PageSize: r.PageSize,
		Trigger: fromTrigger(r.Trigger), Constraint: Clean(string(r.Constraint), maxComm), Global: r.Global,
		LimitPath: Clean(r.LimitPath, maxPath), VictimPath: Clean(r.VictimPath, maxPath),
		GroupPath: Clean(r.GroupPath, maxPath),
		NodeMask:  Clean(r.NodeMask, maxMask), MemsAllowed: Clean(r.MemsAllowed, maxMask),
		Memory: fromUsage(r.Memory), Memsw: fromUsage(r.Memsw), Kmem: fromUsage(r.Kmem), Swap: fromUsage(r.Swap),
		Node: fromNode(r.Node), TotalPages: k.total, TasksLeft: r.TasksOmitted,
		Suppressed: r.Suppressed, Headless: r.Headless, RateLimited: r.RateLimited, Panic: Clean(r.Panic, maxMask), Sysrq: r.Sysrq, NoKillable: r.NoKillable, Partial: r.Partial,
	}
	if name, u := r.Binding(); u.Limit.IsValue() && !r.Global && !r.Sysrq {
		out.LimitHit = name
	}
	if len(r.Stats) > 0 {
		out.Stats = make(map[string]uint64, len(r.Stats))
		for _, s := range r.Stats {
			out.Stats[s.Key] = s.Value
		}
	}
	for _, s := range k.scores {
		t := s.task
		out.Tasks = append(out.Tasks, Task{
			PID: t.PID, TGID: t.TGID, UID: ptr(t.UID), Comm: Clean(t.Comm, maxComm), Adj: t.Adj,
			TotalVM: ptr(t.TotalVM), RSS: ptr(t.RSS),
			AnonRSS: ptr(t.RSSAnon), FileRSS: ptr(t.RSSFile), ShmemRSS: ptr(t.RSSShmem),
			PageTables: ptr(t.PageTables), Swap: ptr(t.Swap), Score: s.points, Eligible: s.eligible,
		})
	}
	for _, e := range r.Exiting {
		out.Exiting = append(out.Exiting, Exiting{PID: e.PID, Comm: Clean(e.Comm, maxComm)})
	}
	return out
}

func fromUsage(u oomlog.Usage) *Usage {
	if !u.Usage.IsSet() {
		return nil
	}
	return &Usage{Usage: ptr(u.Usage), Limit: ptr(u.Limit), Unlimited: u.Limit.IsUnlimited(), Failcnt: ptr(u.Failcnt)}
}

func fromNode(n oomlog.NodeMemory) *Node {
	if n == (oomlog.NodeMemory{}) {
		return nil
	}
	return &Node{
		RAM: ptr(n.RAM), Reserved: ptr(n.Reserved), SwapTotal: ptr(n.SwapTotal), SwapFree: ptr(n.SwapFree),
		Anon: ptr(n.Anon), File: ptr(n.File), Shmem: ptr(n.Shmem), Unevictable: ptr(n.Unevictable),
		Free: ptr(n.Free), Slab: ptr(n.Slab), Unreclaimable: ptr(n.Unreclaimable),
		LargestSlab: Clean(n.LargestSlab.Name, maxComm), LargestBytes: ptr(n.LargestSlab.Size),
	}
}

// OOM turns a record back into a kill.
func (k *Kill) OOM() oom.Kill {
	v := k.Victim
	out := oom.Kill{
		ID:          k.ID,
		Approximate: k.Approximate,
		Uptime:      time.Duration(math.Round(k.Uptime*1e6)) * time.Microsecond,
		Seq:         k.Seq, Constraint: oom.Constraint(k.Constraint), Global: k.Global,
		LimitPath: k.LimitPath, VictimPath: k.VictimPath,
		Workload: oom.Workload{Namespace: k.Namespace, Pod: k.Pod, Container: k.Container},
		Victim: oom.Victim{
			PID: v.PID, TGID: v.TGID, Comm: v.Comm, UID: amount(v.UID),
			TotalVM: amount(v.TotalVM), AnonRSS: amount(v.AnonRSS), FileRSS: amount(v.FileRSS),
			ShmemRSS: amount(v.ShmemRSS), PageTables: amount(v.PageTables), Swap: amount(v.Swap),
		},
		Usage: amount(k.Usage), Limit: amount(k.Limit),
		GroupKill: k.GroupKill, Duplicate: k.Duplicate, Sysrq: k.Sysrq, Allocating: k.Allocating,
		Partial: k.Partial, History: k.History, Evidence: k.Evidence,
	}
	for _, level := range oom.Levels() {
		if level.String() == k.Level {
			out.Level = level
		}
	}
	if k.Time != nil {
		out.Time = *k.Time
	}
	if v.Adj != nil {
		out.Victim.Adj, out.Victim.AdjKnown = *v.Adj, true
	}
	if t := k.Trigger; t != nil {
		out.Trigger = &oom.Trigger{
			Comm: t.Comm, PID: t.PID, Adj: t.Adj, GFPMask: t.GFPMask, Order: t.Order, CPUSetPath: t.CPUSet,
		}
	}
	return out
}

func ptr(a oom.Amount) *uint64 {
	if n, ok := a.Get(); ok {
		return &n
	}
	return nil
}

func amount(p *uint64) oom.Amount {
	if p == nil {
		return oom.Amount{}
	}
	return oom.Of(*p)
}

func timePtr(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func seconds(d time.Duration) float64 { return float64(d/time.Microsecond) / 1e6 }

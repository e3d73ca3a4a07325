// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/ledger"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/proc"
	"github.com/oom-exporter/oom_exporter/internal/statefile"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// kills is the part that counts kills: the ledger and what feeds it.
type kills struct {
	ledger *ledger.Ledger
	feed   *killfeed.Feed
	lock   *statefile.Lock // of the state file; nil: none.
	whys   *whys
}

// newKills opens the sources and goes on from the state file, if there is one.
func newKills(c *config, p *parts, namer *workload.Namer, logger log.Logger) (*kills, error) {
	node, err := p.proc.Node()
	if err != nil {
		return nil, err
	}
	if c.stateFile != "" && node.BootID == "" {
		return nil, fmt.Errorf("--state.file=%s: the boot can't be told from others: make %s/sys/kernel/random/boot_id readable or leave the flag out", c.stateFile, c.procfs)
	}
	lock, err := lockState(c.stateFile, logger)
	if err != nil {
		return nil, err
	}
	if !node.OOMKills.IsValue() {
		_ = level.Warn(logger).Log("msg", "kernel has no oom_kill counter (< 4.13); kill storms may be undercounted",
			"missing", "oom_kill in "+c.procfs+"/vmstat")
	}
	feed, err := killfeed.New(killfeed.Options{
		Kmsg: c.kmsg, KmsgMode: killfeed.Mode(c.kmsgMode), PageSize: pageSize(), Release: node.Release,
		Tracefs: filepath.Join(c.sysfs, "kernel", "tracing"), TracefsMode: killfeed.Mode(c.tracefsMode),
		Procfs: c.procfs, Hierarchy: p.groups,
		Kernel: p.kernel, BPFMode: killfeed.Mode(c.bpfMode),
		Reported: func(path string) { namer.Lookup(path) },
		Logger:   logger,
	})
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	w := newWhys(c, p, node.BootID, logger)
	l, err := ledger.New(ledger.Options{
		Counters: counters{p.proc, p.groups, namer, c.rowLimits()}, Names: ledgerNames{namer},
		PollLog: feed.PollLog(), OnKill: w.onKill,
		StateFile: c.stateFile, BootID: node.BootID,
		KeepDead: c.deadKeep, KeepAge: c.deadAge,
		Logger: logger,
	})
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	feed.Connect(l)
	w.begin(l.Records)
	return &kills{ledger: l, feed: feed, lock: lock, whys: w}, nil
}

// lockState makes sure that no other exporter writes the same state file. Any other
// failure to lock it is only logged: its cause keeps the file from being written, too,
// which is no reason not to serve.
func lockState(path string, logger log.Logger) (*statefile.Lock, error) {
	if path == "" {
		return nil, nil
	}
	lock, err := statefile.Acquire(path)
	switch {
	case errors.Is(err, statefile.ErrLocked):
		return nil, fmt.Errorf("--state.file=%s: each exporter needs a state file of its own: %w", path, err)
	case err != nil:
		_ = level.Warn(logger).Log("msg", "cannot lock the state file", "err", err,
			"remedy", "give --state.file a writable directory of its own")
	}
	return lock, nil
}

// tasks are what has to run.
func (k *kills) tasks() []func(context.Context) error {
	return []func(context.Context) error{k.ledger.Run, k.feed.Run, k.whys.store.Run}
}

// KillTotals implements collector.Kills.
func (k *kills) KillTotals() oom.KillTotals {
	k.ledger.Sync()
	totals := k.ledger.View().KillTotals
	totals.Causes = k.whys.store.Counts(totals.Workloads, func() ([]oom.WorkloadKills, []oom.Kill) {
		return k.ledger.View().Workloads, k.ledger.Records()
	})
	totals.Sources = k.feed.Sources()
	totals.TraceEventsLost = k.feed.TraceEventsLost()
	return totals
}

// records returns the recorded kills, brought up to date first.
func (k *kills) records() []oom.Kill {
	k.ledger.Sync()
	return k.ledger.Records()
}

// counters are the kernel's counts for the ledger.
type counters struct {
	proc   *proc.FS
	groups *cgroup.Hierarchy
	namer  *workload.Namer
	limits workload.Limits
}

var errNoGroups = errors.New("no memory hierarchy")

func (c counters) Vmstat() (oom.Amount, error) { return c.proc.OOMKills() }

func (c counters) Groups() (oom.Tree, error) {
	if c.groups == nil {
		return oom.Tree{}, errNoGroups
	}
	tree, _, err := c.groups.ReadKills()
	if err != nil {
		return oom.Tree{}, err
	}
	workload.Classify(&tree)
	workload.FoldCrowds(&tree, c.limits)
	c.namer.NameKnown(&tree)
	return tree, nil
}

func (c counters) Populated(id oom.GroupID) bool {
	return c.groups != nil && c.groups.Populated(id)
}

func (c counters) Kills(id oom.GroupID) (kills oom.Amount) {
	if c.groups == nil {
		return kills
	}
	return c.groups.Kills(id)
}

func (c counters) Limit(id oom.GroupID) (limit, hits oom.Amount) {
	if c.groups == nil {
		return limit, hits
	}
	return c.groups.Limit(id)
}

// btf is the file with the types of the running kernel.
func (c *config) btf() string { return filepath.Join(c.sysfs, "kernel", "btf", "vmlinux") }

// ledgerNames answers the ledger from the namer's memory.
type ledgerNames struct{ *workload.Namer }

func (n ledgerNames) Lookup(path string) (oom.Identity, oom.Kind, bool) {
	id, known := n.Namer.Lookup(path)
	return id, workload.ParsePath(path).Kind, known
}

// sourceModes are the values of --events.kmsg, --events.tracefs and --source.bpf.
func sourceModes() (names []string) {
	for _, m := range killfeed.Modes() {
		names = append(names, string(m))
	}
	return names
}

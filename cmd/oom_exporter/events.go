// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/ledger"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
	"github.com/oom-exporter/oom_exporter/internal/proc"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// How a source of events is wanted.
const (
	sourceAuto    = "auto"    // use it where it can be had.
	sourceRequire = "require" // without it the exporter is blind: say so in the metrics.
	sourceOff     = "off"
)

// defaultKmsg is the device for which syslog(2) can stand in.
const defaultKmsg = "/dev/kmsg"

// events is the part that counts kills: the kernel's counters and its log,
// joined by the ledger.
type events struct {
	logger log.Logger
	book   *ledger.Ledger
	namer  *workload.Namer
	tasks  []func(context.Context) error

	mu      sync.Mutex
	sources []oom.Source
	parser  *oomlog.Parser

	numbered bool // the log has the kernel's own numbers.
}

// newEvents opens the sources. What can't be had is told once, with the
// remedy; the others go on.
func newEvents(c *config, p *parts, namer *workload.Namer, logger log.Logger) (*events, error) {
	e := &events{logger: logger, namer: namer, parser: oomlog.New(oomlog.Options{PageSize: pageSize()})}
	node, err := p.proc.Node()
	if err != nil {
		return nil, err
	}
	o := ledger.Options{
		Counters:  counters{p.proc, p.groups, namer},
		Names:     ledgerNames{namer},
		OnKill:    e.tell,
		StateFile: c.stateFile, BootID: node.BootID,
		KeepDead: c.deadKeep, KeepAge: c.deadAge,
		Logger: logger,
	}
	if c.stateFile != "" && node.BootID == "" {
		return nil, fmt.Errorf("--state.file=%s: the boot can't be told from others: make %s/sys/kernel/random/boot_id readable or leave the flag out", c.stateFile, c.procfs)
	}
	kernelLog, err := e.openLog(c, &o)
	if err != nil {
		return nil, err
	}
	if e.book, err = ledger.New(o); err != nil {
		return nil, err
	}
	e.book.SetLog(kernelLog)
	e.tasks = append(e.tasks, e.book.Run)
	if !node.OOMKills.IsValue() {
		_ = level.Warn(logger).Log("msg", "this kernel does not count OOM kills: storms may be counted short",
			"missing", "oom_kill in "+c.procfs+"/vmstat", "remedy", "a kernel of 4.13 or later")
	}
	e.watch(p.groups)
	e.watchVictims(c, p.groups)
	return e, nil
}

// openLog decides how the kernel's log is read: by the device, by syslog(2),
// or not at all.
func (e *events) openLog(c *config, o *ledger.Options) (ledger.LogState, error) {
	if c.kmsgMode == sourceOff {
		return ledger.LogAbsent, nil
	}
	device, err := kmsg.OpenDevice(c.kmsg)
	if err == nil {
		_ = device.Close()
		e.source("kmsg", true)
		e.numbered = true
		e.tasks = append(e.tasks, func(ctx context.Context) error { return e.readDevice(ctx, c.kmsg) })
		return ledger.LogBacklog, nil
	}
	if c.kmsg == defaultKmsg {
		reader := kmsg.NewSyslog()
		first, _, syslogErr := reader.Poll(context.Background())
		if syslogErr == nil {
			_ = level.Info(e.logger).Log("msg", "the kernel log is read by syslog(2)", "why", err)
			e.source("syslog", true)
			o.PollLog = e.pollSyslog(reader, first)
			return ledger.LogBacklog, nil
		}
		err = errors.Join(err, syslogErr)
	}
	_ = level.Warn(e.logger).Log("msg", "no kernel log: kills are counted by the kernel's counters, without pid, comm and sizes",
		"err", flat(err), "remedy", kmsgRemedy)
	if c.kmsgMode == sourceRequire {
		e.numbered = true
		e.source("kmsg", false)
		e.tasks = append(e.tasks, func(ctx context.Context) error { return e.readDevice(ctx, c.kmsg) })
	}
	return ledger.LogAbsent, nil
}

const kmsgRemedy = "grant CAP_SYSLOG (a container: capabilities.add: [SYSLOG]; systemd: AmbientCapabilities=CAP_SYSLOG), or sysctl kernel.dmesg_restrict=0; --events.kmsg=off silences this"

// readDevice keeps reading the device until the context ends.
func (e *events) readDevice(ctx context.Context, path string) error {
	return kmsg.Supervise(ctx, kmsg.Supervisor{
		Open: func() (kmsg.Source, error) {
			d, err := kmsg.OpenDevice(path)
			if err != nil {
				return nil, err
			}
			d.Drained = e.drained
			return d, nil
		},
		Changed: func(up bool, err error) {
			e.source("kmsg", up)
			if up {
				_ = level.Info(e.logger).Log("msg", "reading the kernel log", "path", path)
				return
			}
			_ = level.Error(e.logger).Log("msg", "the kernel log can't be read", "err", err, "remedy", kmsgRemedy)
			e.book.SetLog(ledger.LogAbsent)
		},
	}, e.record)
}

// record takes one record of the log.
func (e *events) record(r kmsg.Record) {
	e.mu.Lock()
	found := e.parser.Add(r)
	e.mu.Unlock()
	if r.Lost > 0 {
		e.book.Lost(r.Lost)
	}
	woken := false
	for i := range found {
		switch found[i].Kind {
		case oomlog.KindKill:
			if !e.numbered {
				found[i].Kill.Seq = 0
			}
			if path := found[i].Kill.VictimPath; path != "" && !r.Backlog {
				// Its runtime is about to forget it; the ledger first reads all counters.
				e.namer.Lookup(path)
			}
			e.book.Log(found[i].Kill)
			woken = true
		case oomlog.KindGroup:
			e.book.Group(found[i].Group)
		}
	}
	if woken && !r.Backlog {
		e.book.Wake()
	}
}

// drained says that the log has been read to its end for the first time.
func (e *events) drained() {
	e.book.SetLog(ledger.LogLive)
	e.book.Wake()
}

// pollSyslog makes the ledger's way to look for new lines.
func (e *events) pollSyslog(reader *kmsg.Syslog, first []kmsg.Record) func() {
	failing, begun := false, false
	return func() {
		records, turned, err := first, false, error(nil)
		if begun {
			records, turned, err = reader.Poll(context.Background())
		}
		if failed := err != nil; failed != failing {
			failing = failed
			e.source("syslog", !failed)
			if failed {
				_ = level.Error(e.logger).Log("msg", "the kernel log can't be read by syslog(2)", "err", err, "remedy", kmsgRemedy)
			}
		}
		if turned {
			_ = level.Warn(e.logger).Log("msg", "the kernel's log has turned over: reports may be lost, the kills are counted all the same")
			e.book.Lost(1)
		}
		for _, r := range records {
			e.record(r)
		}
		if !begun {
			begun, first = true, nil
			e.book.SetLog(ledger.LogLive)
		}
	}
}

// watch wakes the ledger when a counter of v2 has moved.
func (e *events) watch(h *cgroup.Hierarchy) {
	if h == nil {
		return
	}
	e.tasks = append(e.tasks, func(ctx context.Context) error {
		woken, err := h.Watch(ctx, cgroup.WatchOptions{Useful: e.moved()})
		if err != nil {
			_ = level.Warn(e.logger).Log("msg", "cgroups can't be watched: kills show a second later", "err", err,
				"remedy", "raise fs.inotify.max_user_instances and max_user_watches")
			return nil
		}
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case _, ok := <-woken:
				if !ok {
					return nil
				}
				e.book.Wake()
			}
		}
	})
}

// known tells whether a source is among those that are told of.
func (e *events) known(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.sources, func(s oom.Source) bool { return s.Name == name })
}

// moved makes a function that tells whether there were kills since it was
// called last.
func (e *events) moved() func() bool {
	var last int64
	return func() bool {
		before := last
		last = e.book.View().Step
		return last != before
	}
}

// source notes whether a source delivers.
func (e *events) source(name string, up bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.sources {
		if e.sources[i].Name == name {
			e.sources[i].Up = up
			return
		}
	}
	e.sources = append(e.sources, oom.Source{Name: name, Up: up})
}

// tell logs one structured line a kill.
func (e *events) tell(k oom.Kill) {
	_ = level.Warn(e.logger).Log(append([]any{"msg", "OOM kill"}, report.LogFields(&k)...)...)
}

// KillTotals implements collector.Kills.
func (e *events) KillTotals() oom.KillTotals {
	e.book.Sync()
	totals := e.book.View().KillTotals
	e.mu.Lock()
	defer e.mu.Unlock()
	totals.Sources = append([]oom.Source(nil), e.sources...)
	return totals
}

// counters are the kernel's counts for the ledger.
type counters struct {
	proc   *proc.FS
	groups *cgroup.Hierarchy
	namer  *workload.Namer
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
	c.namer.NameKnown(&tree)
	return tree, nil
}

// Populated tells whether the group still has processes, itself or below.
func (c counters) Populated(id oom.GroupID) bool {
	if c.groups == nil {
		return false
	}
	return c.groups.Populated(id)
}

// Limit implements ledger.Limits.
func (c counters) Limit(id oom.GroupID) (limit, hits oom.Amount) {
	if c.groups == nil {
		return limit, hits
	}
	return c.groups.Limit(id)
}

// ledgerNames answers the ledger from the namer's memory.
type ledgerNames struct{ *workload.Namer }

func (n ledgerNames) Lookup(path string) (oom.Identity, oom.Kind, bool) {
	id, known := n.Namer.Lookup(path)
	return id, workload.ParsePath(path).Kind, known
}

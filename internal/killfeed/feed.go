// SPDX-License-Identifier: Apache-2.0

// Package killfeed assembles the sources of evidence about OOM kills: the
// kernel log, by its device or by syslog(2); the traces of victims, by BPF and by
// tracefs; and the watch of cgroups, which tells that something has happened. It
// keeps them running, says which of them deliver, and counts what they lost. What
// they tell goes to a Sink, which decides what it is worth.
package killfeed

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"golang.org/x/sync/errgroup"

	"github.com/oom-exporter/oom_exporter/internal/bpf"
	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// Sink takes evidence.
type Sink interface {
	// Log takes a kill from the kernel log.
	Log(oom.Kill)
	// Group says that the last kill was the first of a group kill in this cgroup.
	Group(path string)
	// Witness says in which cgroup a dying process was seen.
	Witness(oom.Sighting)
	// Lost says that records of the kernel log were lost.
	Lost(n uint64)
	// SetLog says what to expect of the kernel log.
	SetLog(oom.LogState)
	// Wake says that something may have happened.
	Wake()
	// Counted returns how many kills there have been.
	Counted() int64
}

// Mode says whether a source is to be used.
type Mode string

// The modes of a source.
const (
	Auto    Mode = "auto"    // use it where it is available.
	Require Mode = "require" // without it the exporter is blind: say so in the metrics.
	Off     Mode = "off"
)

// Modes lists them.
func Modes() []Mode { return []Mode{Auto, Require, Off} }

// Options say where the sources are and which are to be used.
type Options struct {
	Kmsg     string // path of the kernel log's device; syslog(2) can replace only DefaultKmsg.
	KmsgMode Mode
	PageSize uint64      // of the kernel that writes the log.
	Release  oom.Release // of that kernel.

	Tracefs     string // where tracefs is mounted.
	TracefsMode Mode
	Procfs      string
	Hierarchy   *cgroup.Hierarchy // nil: there are no cgroups to watch or to trace in.

	Kernel  *bpf.Kernel // what programs of BPF are fitted to.
	BPFMode Mode        // Require makes New fail where BPF can't be used.

	// Reported, if set, is called with the victim's cgroup when a new kill is reported:
	// the container's runtime is about to forget its name.
	Reported func(path string)
	Logger   log.Logger

	openBPF func() (victimTrace, error) // replaced in tests.
}

// Feed is the sources of one host.
type Feed struct {
	o     Options
	sink  Sink
	log   kernelLog
	tasks []func(context.Context) error

	mu        sync.Mutex // guards what follows.
	parser    *oomlog.Parser
	sources   []oom.Source
	traceLost oom.Amount
	bpfErr    error // why there is no trace by BPF.
}

// New opens the sources. One that is not available is logged once, with the remedy, and
// the others are used without it. New fails only if BPF is required and not available.
func New(o Options) (*Feed, error) {
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if o.openBPF == nil {
		o.openBPF = func() (victimTrace, error) { return bpf.OpenVictims(bpf.Options{Kernel: o.Kernel}) }
	}
	f := &Feed{o: o, parser: oomlog.New(oomlog.Options{PageSize: o.PageSize, Release: o.Release})}
	if err := f.addBPF(); err != nil {
		return nil, err
	}
	f.openLog()
	if o.Hierarchy != nil {
		f.tasks = append(f.tasks, f.watchCgroups)
		f.addTrace()
	}
	return f, nil
}

// PollLog returns the function that looks for new lines if the log does not announce
// them (syslog(2)), else nil.
func (f *Feed) PollLog() func() {
	if f.log.syslog == nil {
		return nil
	}
	return f.pollSyslog
}

// Connect sets where the evidence goes; it must be called before Run and PollLog.
func (f *Feed) Connect(sink Sink) {
	f.sink = sink
	sink.SetLog(f.log.state)
}

// Run feeds the sink until ctx is done.
func (f *Feed) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, task := range f.tasks {
		g.Go(func() error { return task(ctx) })
	}
	return g.Wait()
}

// Sources returns the sources that are in use or required, and whether each delivers.
func (f *Feed) Sources() []oom.Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sources)
}

// TraceEventsLost returns how many victims the traces have lost; unset where
// there is no trace.
func (f *Feed) TraceEventsLost() oom.Amount {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.traceLost
}

// setSource notes whether a source delivers.
func (f *Feed) setSource(name string, up bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.sources {
		if f.sources[i].Name == name {
			f.sources[i].Up = up
			return
		}
	}
	f.sources = append(f.sources, oom.Source{Name: name, Up: up})
}

// hasSource tells whether a source has been noted.
func (f *Feed) hasSource(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.sources, func(s oom.Source) bool { return s.Name == name })
}

// watchCgroups wakes the sink when a counter of v2 has moved.
func (f *Feed) watchCgroups(ctx context.Context) error {
	woken, err := f.o.Hierarchy.Watch(ctx, cgroup.WatchOptions{Useful: f.killed()})
	if err != nil {
		_ = level.Warn(f.o.Logger).Log("msg", "cgroup watch unavailable; kills are noticed up to 1 s later", "err", err,
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
			f.sink.Wake()
		}
	}
}

// killed makes a function that tells whether there were kills since it was
// called last.
func (f *Feed) killed() func() bool {
	var last int64
	return func() bool {
		before := last
		last = f.sink.Counted()
		return last != before
	}
}

// onOneLine returns the text of an error that may be joined from several.
func onOneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

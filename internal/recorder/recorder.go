// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Options of a Recorder. Source is required; zero means the default.
type Options struct {
	Source    Source
	Node      func(*oom.Sample) error // reads all but the time; nil: nothing of the node is recorded.
	Processes Processes               // nil: nothing of processes is recorded.
	// Names fills Kind, Owner and Identity, without waiting; nil: all are
	// containers without a name.
	Names func(*oom.Tree)

	MaxRecordings int   // recordings that are kept; 200.
	Store         Store // nil: nothing outlives the process.
	BootID        string

	Logger log.Logger
	Now    func() time.Time
	Uptime func() time.Duration // the time since boot, sleep included.
}

func (o Options) withDefaults() Options {
	if o.MaxRecordings <= 0 {
		o.MaxRecordings = 200
	}
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Uptime == nil {
		o.Uptime = uptime
	}
	return o
}

const (
	// baseGap is the pace of cgroups that move, where there are not very many.
	baseGap = time.Second
	// idleGap is the slowest pace of those that don't, where there are many.
	idleGap = 10 * time.Second
	// stillGap is the pace of those that are known to stand still without being
	// read: all that could be missed is that two of them moved by the same amount
	// in opposite directions.
	stillGap = 30 * time.Second
	// affordable is how many cheap readings a second are no burden.
	affordable = 4000
	// idleReads is how many idle cgroups are read in an interval.
	idleReads = 1000
	// mostFull is how many full samples of cgroups that are not near are taken
	// in one interval.
	mostFull = 256
	// mostFast is how many cgroups have the fast pace.
	mostFast = 64
	// goneFor is how long the tracks of cgroups that are gone are kept: a kill
	// may be published ten seconds later.
	goneFor  = time.Minute
	mostGone = 1024
)

// Recorder samples memory cgroups and freezes what it has of a kill. All methods
// may be called at the same time.
type Recorder struct {
	o    Options
	wake chan struct{} // there is something to save.
	bad  troubles

	// Only Run's goroutine uses these.
	turn     uint64
	passAt   stamp
	findAt   stamp // the last tick that looked for cgroups.
	foundAt  stamp // when it was done looking.
	tasksAt  stamp
	began    bool
	handles  []oom.CgroupHandle
	readings []taskReading
	usages   []oom.Amount
	pids     []int32
	due      []*track
	lacking  []*track // to get a full sample, now that their usage has been read.
	near     []*track // those with the fast pace.
	idle     int      // cgroups at rest.
	nodeFast bool
	named    stamp
	nameGap  time.Duration // until all are named again.

	mu       sync.Mutex // guards what follows, for writing; only Run's goroutine writes to tracks.
	byHandle []*track
	live     []*track            // in pre-order.
	levels   [][]*track          // the same by depth.
	byPath   map[string][]*track // also of those that are gone, the oldest first.
	gone     []*track            // the oldest first.
	node     *track
	over     int // cgroups that are left out.
	interval time.Duration
	samples  uint64
	full     uint64                     // samples that are not of usage alone.
	restored map[oom.GroupID]savedTrack // until their cgroups are found.

	frozen  shelf
	changed time.Time // when the oldest unsaved recording was made; zero: none.
}

// New returns a recorder, which samples while Run runs.
func New(o Options) *Recorder {
	o = o.withDefaults()
	r := &Recorder{
		o: o, wake: make(chan struct{}, 1), byPath: map[string][]*track{}, interval: baseGap,
		frozen: newShelf(o.MaxRecordings),
	}
	at := r.now()
	r.tasksAt, r.named = at, at
	r.node = newTrack(oom.FoundCgroup{}, at)
	r.node.kind = oom.KindRoot
	r.load()
	return r
}

func (r *Recorder) now() stamp { return stampOf(r.o.Uptime()) }

// Run samples until ctx is done, and then saves.
func (r *Recorder) Run(ctx context.Context) error {
	var saving sync.WaitGroup
	saving.Go(func() { r.keepSaved(ctx) })
	defer saving.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			timer.Reset(r.tick())
		}
	}
}

// tick reads what is due, and returns when to read again.
func (r *Recorder) tick() time.Duration {
	at := r.now()
	r.turn++
	slow := !r.began || at.since(r.passAt) >= r.interval-fastGap/2
	if slow || r.nodeFast {
		r.sampleNode(at)
	}
	r.readUsages(r.near, mostFast)
	readings := 0
	if slow {
		readings = r.readDue(at)
	}
	r.readLacking() // after all usages, so that those are of nearly the same time.
	if !r.began || at.since(r.findAt) >= baseGap-fastGap/2 {
		r.findAt = at
		r.find(at)
	}
	r.began = true
	if slow {
		r.passAt = at
		r.settle(at, readings)
	}
	if r.o.Processes != nil && len(r.near) > 0 && at.since(r.tasksAt) >= baseGap-fastGap/2 {
		r.tasksAt = at
		r.followTasks(at, r.near)
	}
	return r.nextTick(at)
}

// nextTick returns the time to the next tick. Ticks of the fast pace keep their
// distance, however long this one took.
func (r *Recorder) nextTick(at stamp) time.Duration {
	gap := min(baseGap, r.interval)
	if len(r.near) > 0 || r.nodeFast {
		gap = fastGap
	}
	return max(gap-r.now().since(at), fastGap/10)
}

func (r *Recorder) sampleNode(at stamp) {
	if r.o.Node == nil {
		return
	}
	var s oom.Sample
	err := r.o.Node(&s)
	r.report("node", "cannot sample the node's memory", err)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.node.noteFull(slotOf(at, &s))
	r.nodeFast = r.node.measure(nodeMargin) < 1
}

// troubles are the kinds of trouble that are there now.
type troubles struct {
	mu  sync.Mutex
	now map[string]bool
}

// report logs trouble when it begins and when it is over.
func (r *Recorder) report(what, msg string, err error) {
	r.bad.mu.Lock()
	was := r.bad.now[what]
	if r.bad.now == nil {
		r.bad.now = map[string]bool{}
	}
	r.bad.now[what] = err != nil
	r.bad.mu.Unlock()
	switch {
	case err != nil && !was:
		_ = level.Warn(r.o.Logger).Log("msg", msg, "err", err)
	case err == nil && was:
		_ = level.Info(r.o.Logger).Log("msg", "the flight recorder has recovered", "from", msg)
	}
}

// Health returns how well the recorder is doing.
func (r *Recorder) Health() oom.RecorderHealth {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := oom.RecorderHealth{
		Interval: r.interval, Cgroups: len(r.live), Samples: r.samples, FullSamples: r.full, Recordings: len(r.frozen.order),
		RecordingsDropped: r.frozen.dropped, HasFile: r.o.Store != nil, Over: r.over,
	}
	for _, t := range r.live {
		if t.fast {
			h.Fast++
		}
	}
	if !r.changed.IsZero() {
		h.Unsaved = max(r.o.Now().Sub(r.changed), 0)
	}
	return h
}

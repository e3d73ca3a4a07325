// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Counters are the kernel's own counts.
type Counters interface {
	// Vmstat returns oom_kill of /proc/vmstat, unset where there is none.
	Vmstat() (oom.Amount, error)
	// Groups returns all groups, parents first, with identity, kind, owner
	// and events; the limit where it is known, else unset.
	Groups() (oom.Tree, error)
	// Populated tells whether this very group, by path and inode, has
	// processes, itself or below.
	Populated(oom.GroupID) bool
}

// Names tells who a group is, or was: also for a while after it is gone. It
// answers from memory. Where it is not known, the identity may have stand-ins
// in place of names.
type Names interface {
	Lookup(path string) (who oom.Identity, kind oom.Kind, known bool)
}

// Settler is what Names may have besides: it waits, for a moment only, for the
// names that are being looked up, so that a kill in a container that hardly
// lived is told by its name from the start.
type Settler interface{ Settle() }

// Limits is what Counters may have besides: the limit of one group and how
// often it was hit, for kernels whose Groups are read without them (v1). They
// tell whose limit a kill was about where the log does not.
type Limits interface {
	Limit(oom.GroupID) (limit, hits oom.Amount)
}

// LogState says what can be expected of the kernel log.
type LogState uint8

// The states of the kernel log.
const (
	LogAbsent  LogState = iota // there is no log: do not wait for its lines.
	LogBacklog                 // what comes now was printed some time ago.
	LogLive                    // the reader has caught up.
)

// Options configure a Ledger. Counters is required; zero means the default.
type Options struct {
	Counters Counters
	Names    Names
	// PollLog, if set, makes a log source that can't wait look for new
	// lines now; they come by Log before PollLog returns.
	PollLog func()
	// OnKill, if set, is called for each kill as it is published, in order.
	OnKill func(oom.Kill)

	StateFile string // empty: no state is kept.
	BootID    string // of /proc/sys/kernel/random/boot_id; required with StateFile.

	KeepDead   int           // dead workloads that keep their series; 1,000.
	KeepAge    time.Duration // for how long they do; 24 h.
	MaxRecords int           // kills that Records remembers; 1,000.

	PendingFor   time.Duration // how long a kill waits for evidence; 10 s.
	SurviveAfter time.Duration // when a group must still have processes; 10 s.

	Logger log.Logger
	Now    func() time.Time
}

const (
	// groupsGap is the least time between two reads of all groups, vmstatGap
	// that between two reads of vmstat on a wake.
	groupsGap = 100 * time.Millisecond
	// maxGroupsGap bounds the time between them where one takes long.
	maxGroupsGap = 2 * time.Second
	vmstatGap    = 100 * time.Millisecond
	// restGap is how often vmstat is read when nothing happens, and liveGap
	// how often where the log wakes us: a wake costs more than all we do then.
	restGap = time.Second
	liveGap = 10 * time.Second
	// lineWait is how long a counter's step waits for its line in the log,
	// and a line for its step of vmstat.
	lineWait = 2 * time.Second
	// witnessWait is how long a line that could be several groups' waits for
	// somebody who saw its process.
	witnessWait = time.Second
	// epochWait is how long the epoch waits for the log's backlog.
	epochWait = 2 * time.Second
	// witnessAge and tombAge are how long what names the dead is kept.
	witnessAge = 30 * time.Second
	tombAge    = time.Minute

	maxLines     = 10_000
	maxWitnesses = 10_000
)

func (o Options) withDefaults() Options {
	if o.KeepDead <= 0 {
		o.KeepDead = 1000
	}
	if o.KeepAge <= 0 {
		o.KeepAge = 24 * time.Hour
	}
	if o.MaxRecords <= 0 {
		o.MaxRecords = 1000
	}
	if o.PendingFor <= 0 {
		o.PendingFor = 10 * time.Second
	}
	if o.SurviveAfter <= 0 {
		o.SurviveAfter = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Ledger keeps the books. All methods may be called at the same time.
type Ledger struct {
	o    Options
	wake chan struct{}
	save chan struct{}

	pass       sync.Mutex // one look at the kernel at a time; taken before mu.
	started    time.Time
	lastVmstat time.Time
	lastGroups time.Time
	lastHouse  time.Time
	groupsCost time.Duration // how long the last read took.
	vmstatErr  bool          // told in the log.
	groupsErr  bool
	saveErr    bool // guarded by the saver.

	mu     sync.Mutex
	counts counts
	log    LogState
	// catchup says that the log was not live yet in this run.
	catchup bool

	began, done   uint64    // reads of all groups, begun and done.
	lastTree      uint64    // the last one that succeeded.
	blind         bool      // the last one did not.
	marked        time.Time // when the living were told from the dead.
	vbegan, vdone uint64    // reads of vmstat.

	slots     slots
	lines     []*line // open lines, in the order of the log.
	backlog   []oom.Kill
	history   []oom.Kill
	groups    map[oom.GroupID]*group
	byPath    map[string]*group
	claimed   []*group // those with claims.
	orphaned  []*group // those with kills in children that are gone.
	witnesses map[int]witness
	unmet     map[int]unmet // by pid.
	scans     []scan
	victims   *recent // where pids died lately.
	decision  uint64
	hits      map[hit]struct{}
	unlined   int64 // kills published without their line.
	unlinedAt time.Time

	workloads, pods book
	records         []oom.Kill
	survivors       []survivor
	outbox          []oom.Kill
	view            *View
}

var (
	errNoCounters = errors.New("no counters given")
	errNoBootID   = errors.New("a state file needs the boot's id")
)

// New returns a ledger that goes on from the state file, if there is one of
// this boot. A file that is of no use is set aside.
func New(o Options) (*Ledger, error) {
	if o.Counters == nil {
		return nil, errNoCounters
	}
	if o.StateFile != "" && o.BootID == "" {
		return nil, errNoBootID
	}
	l := &Ledger{
		o:         o.withDefaults(),
		wake:      make(chan struct{}, 1),
		save:      make(chan struct{}, 1),
		groups:    map[oom.GroupID]*group{},
		byPath:    map[string]*group{},
		witnesses: map[int]witness{},
		unmet:     map[int]unmet{},
		victims:   newRecent(),
		hits:      map[hit]struct{}{},
		workloads: book{},
		pods:      book{},
		catchup:   true,
	}
	l.started = l.o.Now()
	if o.StateFile == "" {
		return l, nil
	}
	st, err := readState(o.StateFile, o.BootID)
	switch {
	case err != nil:
		l.setAside(err)
	case st != nil:
		l.restore(st)
	}
	return l, nil
}

// SetLog says what to expect of the kernel log from now on.
func (l *Ledger) SetLog(s LogState) {
	l.mu.Lock()
	defer l.Wake()
	defer l.mu.Unlock()
	l.log = s
	if s != LogBacklog {
		l.catchup = false
	}
}

// Lost says that n records of the log are lost.
func (l *Ledger) Lost(n uint64) {
	l.mu.Lock()
	defer l.Wake() // there may have been kills among them.
	defer l.mu.Unlock()
	l.counts.Lost += n
	l.changed()
}

// Wake says that something may have happened. It never waits.
func (l *Ledger) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// changed marks what has to be shown and saved anew.
func (l *Ledger) changed() {
	l.view = nil
	l.unsaved()
}

// unsaved makes the saver save.
func (l *Ledger) unsaved() {
	select {
	case l.save <- struct{}{}:
	default:
	}
}

// once logs an error when it begins and when it ends, not in between.
func (l *Ledger) once(told *bool, err error, msg, remedy string) {
	switch {
	case err != nil && !*told:
		_ = level.Warn(l.o.Logger).Log("msg", msg, "err", err, "remedy", remedy)
	case err == nil && *told:
		_ = level.Info(l.o.Logger).Log("msg", msg+": it works again")
	}
	*told = err != nil
}

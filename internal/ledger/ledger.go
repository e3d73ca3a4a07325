// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
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
	// Groups returns all cgroups, parents first, with identity, kind, owner
	// and events; the limit where it is known, else unset.
	Groups() (oom.Tree, error)
	// Kills returns the kills of this very cgroup alone, unset where only a read
	// of all cgroups tells them from those of its children.
	Kills(oom.GroupID) oom.Amount
	// Limit returns the limit of one cgroup and how often it was hit, for
	// kernels whose Groups are read without them (v1); else unset.
	Limit(oom.GroupID) (limit, hits oom.Amount)
	// Populated tells whether this very cgroup, by path and inode, has
	// processes, itself or below.
	Populated(oom.GroupID) bool
}

// Names knows the identity of a cgroup, also for a while after it is gone.
type Names interface {
	// Lookup answers from memory. Where a name is not known, the identity may
	// have ids that stand in for it.
	Lookup(path string) (who oom.Identity, kind oom.Kind, known bool)
	// Settle waits, for a moment only, for the names that are being looked
	// up, so that a kill in a short-lived container has its name from the
	// start.
	Settle()
}

// noNames is for a ledger without names.
type noNames struct{}

func (noNames) Lookup(string) (oom.Identity, oom.Kind, bool) {
	return oom.Identity{}, oom.KindContainer, false
}
func (noNames) Settle() {}

// Options configure a Ledger. Counters is required; zero means the default.
type Options struct {
	Counters Counters
	Names    Names
	// PollLog, if set, makes a log source that can't wait look for new
	// lines now; they come by Log before PollLog returns.
	PollLog func()
	// OnKill, if set, is called once for each kill, in order: when it is
	// published and, with a state file, saved or shown unsaved.
	OnKill func(oom.Kill)

	StateFile string // empty: no state is kept.
	BootID    string // of /proc/sys/kernel/random/boot_id; required with StateFile.

	KeepDead   int           // dead workloads that keep their series; 1,000.
	KeepAge    time.Duration // for how long they do; 24 h.
	MaxRecords int           // kills that Records remembers; 1,000.

	PendingFor   time.Duration // how long a kill waits for evidence; 10 s.
	SurviveAfter time.Duration // when a cgroup must still have processes; 10 s.

	Logger log.Logger
	Now    func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Names == nil {
		o.Names = noNames{}
	}
	o.KeepDead = cmp.Or(max(o.KeepDead, 0), 1000)
	o.KeepAge = cmp.Or(max(o.KeepAge, 0), 24*time.Hour)
	o.MaxRecords = cmp.Or(max(o.MaxRecords, 0), 1000)
	o.PendingFor = cmp.Or(max(o.PendingFor, 0), 10*time.Second)
	o.SurviveAfter = cmp.Or(max(o.SurviveAfter, 0), 10*time.Second)
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Ledger counts kills. All methods may be called at the same time.
type Ledger struct {
	o     Options
	wake  chan struct{}
	looks looks // one look at the kernel at a time.
	saver saver

	mu       sync.Mutex // guards what follows; taken after looks.
	counts   counts
	log      oom.LogState
	catchup  bool // the log has not been live yet in this run.
	reads    reads
	cases    cases
	evidence evidence
	cgroups  cgroups
	totals   totals
	outbox   []oom.Kill // published kills that OnKill has not had.
	view     *View
}

// counts are the numbers that do not belong to one workload.
type counts struct {
	Epoch     time.Time `json:"epoch"`
	HasVmstat bool      `json:"has_vmstat"`
	Vmstat    int64     `json:"vmstat"`              // its last value; without it, a count of our own.
	Base      int64     `json:"base"`                // its value at the epoch.
	Seq       uint64    `json:"seq"`                 // of the log's last kill.
	LastLine  *lineMark `json:"last_line,omitempty"` // that was read, where the log has no numbers.
	Baselined bool      `json:"baselined"`

	Published    uint64         `json:"published"` // kills since Base, for their IDs.
	Levels       [levels]uint64 `json:"levels"`
	Unattributed uint64         `json:"unattributed"`
	Evicted      uint64         `json:"evicted"`
	Duplicates   uint64         `json:"duplicates"`
	Estimated    uint64         `json:"estimated"` // of the duplicates, without the log.
	Lost         uint64         `json:"lost"`      // records of the log.
	Forged       uint64         `json:"forged"`    // lines without a case.
	Late         uint64         `json:"late"`      // lines of cases that were closed before.
	Unbacked     uint64         `json:"unbacked"`  // steps of cgroups without a case.
	LastKill     time.Time      `json:"last_kill"`

	// Restored says that this run went on from a state file, and linesRead is how many
	// of the kills on vmstat had been published by then, or had their lines.
	Restored  bool `json:"-"`
	linesRead int64
}

// levels is the number of levels that a kill may have, LevelUnknown included.
const levels = int(oom.LevelNode) + 1

var (
	errNoCounters = errors.New("no counters given")
	errNoBootID   = errors.New("a state file needs the boot's id")
)

// New returns a ledger that goes on from the state file, if there is one of
// this boot. A file that is of no use is moved away.
func New(o Options) (*Ledger, error) {
	if o.Counters == nil {
		return nil, errNoCounters
	}
	if o.StateFile != "" && o.BootID == "" {
		return nil, errNoBootID
	}
	o = o.withDefaults()
	l := &Ledger{
		o:        o,
		wake:     make(chan struct{}, 1),
		looks:    newLooks(o.Now()),
		saver:    newSaver(o.StateFile),
		evidence: evidence{witnesses: map[int]witness{}},
		cgroups:  newCgroups(o.Names),
		totals:   newTotals(),
		catchup:  true,
	}
	if o.StateFile == "" {
		return l, nil
	}
	st, err := readState(o.StateFile, o.BootID, o.Now())
	switch {
	case err != nil:
		l.setAside(err)
	case st != nil:
		l.restore(st)
	}
	l.saver.shown = l.draw()
	l.saver.shown.records = l.totals.copyRecords()
	return l, nil
}

// SetLog says what to expect of the kernel log from now on.
func (l *Ledger) SetLog(s oom.LogState) {
	l.mu.Lock()
	defer l.Wake()
	defer l.mu.Unlock()
	l.log = s
	if s != oom.LogBacklog {
		l.catchup = false
	}
	if s == oom.LogAbsent {
		l.counts.LastLine = nil // there will be kills whose lines are not read.
	}
}

// Lost says that n records of the log are lost.
func (l *Ledger) Lost(n uint64) {
	l.mu.Lock()
	defer l.Wake() // there may have been kills among them.
	defer l.mu.Unlock()
	l.counts.Lost += n
	l.evidence.lost, l.evidence.group = l.o.Now(), announced{}
	l.changed()
}

// Wake says that something may have happened. It never waits.
func (l *Ledger) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// changed notes that there is something new to show and to save.
func (l *Ledger) changed() {
	l.view = nil
	l.saver.note(l.o.Now())
}

// trouble logs an error when it begins and when it is over, not in between.
type trouble struct {
	active               bool
	msg, remedy, resumed string
}

func (t *trouble) report(logger log.Logger, err error) {
	switch {
	case err != nil && !t.active:
		_ = level.Warn(logger).Log("msg", t.msg, "err", err, "remedy", t.remedy)
	case err == nil && t.active:
		_ = level.Info(logger).Log("msg", t.resumed)
	}
	t.active = err != nil
}

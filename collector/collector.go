// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	dto "github.com/prometheus/client_model/go"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// ErrNoData says that this kernel or this configuration has nothing to tell;
// it is no failure.
var ErrNoData = errors.New("no data")

// Host is what the collectors need to know; package host implements it.
type Host interface {
	// Scrape begins a view of the host: what two collectors ask for is read
	// once, what none asks for is not read. deadline may be zero.
	Scrape(deadline time.Time) Scrape
}

// Scrape is the state of the host during one scrape. It is used by one
// goroutine.
type Scrape interface {
	Node() (*oom.NodeState, error)
	Groups() (*oom.Groups, error)
	Processes() (*oom.Processes, error)
	// Skipped says what was left out of that which was read so far.
	Skipped() oom.Skipped
	// Close says that nothing of what it returned is used any more.
	Close()
}

// Kills is what the event collector needs to know of the ledger.
type Kills interface {
	KillTotals() oom.KillTotals
}

// Recorder is what the event collector needs to know of the flight recorder.
type Recorder interface {
	Health() oom.RecorderHealth
}

// Options of a Set. The zero value collects everything that is on by default.
type Options struct {
	Kills    Kills               // nil: no event families.
	Recorder Recorder            // nil: no families of the flight recorder.
	Advice   func() []oom.Advice // what limits should be; may be nil.
	Logger   log.Logger
	Enabled  map[string]bool // by collector; nil: all.
	Profile  Profile         // the families to begin with.
	Enable   *regexp.Regexp  // families to switch on that the profile leaves out; nil: none.
	Disable  *regexp.Regexp  // families to switch off; nil: none.
	Keep     *Filter
	// MaxSeries bounds the series of a scrape that others can make more of, by
	// workloads, cgroups and processes; 0: no bound.
	MaxSeries int
	Now       func() time.Time
}

// Profile is a choice of families.
type Profile string

// The profiles; none is ProfileDefault.
const (
	ProfileMinimal Profile = "minimal" // what the shipped rules need.
	ProfileDefault Profile = "default"
	ProfileFull    Profile = "full"
)

// Profiles lists them.
func Profiles() []string {
	return []string{string(ProfileMinimal), string(ProfileDefault), string(ProfileFull)}
}

func (p Profile) has(f *family) bool {
	switch p {
	case ProfileMinimal:
		return f.minimal
	case ProfileFull:
		return true
	default:
		return !f.optional
	}
}

// collector turns a part of the model into samples.
type collector interface {
	update(s Scrape, out *sink) error
}

// Names lists the collectors.
func Names() []string {
	return []string{"container", "pod", "slice", "process", "predict", "node", "event"}
}

// Families lists the names of all families, also of those that are off by
// default.
func Families() []string {
	t := table()
	names := make([]string, 0, len(t))
	for i := range t {
		names = append(names, t[i].name)
	}
	return names
}

// all is the one list of collectors. The order is that of the reading:
// counters of the ledger come last.
func (s *Set) all() []member {
	return []member{
		{"container", containerCollector{s}},
		{"pod", podCollector{s}},
		{"slice", sliceCollector{s}},
		{"process", processCollector{s}},
		{"predict", predictCollector{s}},
		{"node", nodeCollector{s}},
		{"event", eventCollector{s}},
	}
}

type member struct {
	name string
	collector
}

// Set runs the collectors and keeps what one scrape can leave to the next.
// It is safe for concurrent use.
type Set struct {
	host    Host
	o       Options
	table   *[families]family
	enabled [families]bool
	members []member
	labels  *labelCache
	begun   time.Time // since when it counts what scrapes leave out.

	gathering sync.Mutex // one pass at a time; it guards labels and told.
	told      map[string]told

	mu      sync.Mutex
	pool    []*result
	skipped oom.Skipped
	crowded string // path of the cgroup of which most children were left out.
}

// result is the memory of one scrape, used again when nobody reads it.
type result struct {
	sink     *sink
	families []*dto.MetricFamily
}

// New returns a Set over a host.
func New(h Host, o Options) *Set {
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Set{host: h, o: o, table: table(), labels: newLabelCache(), begun: o.Now(), told: map[string]told{}}
	for i, f := range s.table {
		on := o.Profile.has(&f) || o.Enable != nil && o.Enable.MatchString(f.name)
		s.enabled[i] = on && (o.Disable == nil || !o.Disable.MatchString(f.name))
	}
	for _, m := range s.all() {
		if (o.Enabled == nil || o.Enabled[m.name]) && (m.name != "event" || o.Kills != nil) {
			s.members = append(s.members, m)
		}
	}
	return s
}

// Request narrows one scrape. The zero value asks for everything.
type Request struct {
	Collect, Exclude []string
	Deadline         time.Time
}

// Validate names what a request asks for and this Set does not have.
func (s *Set) Validate(r Request) error {
	for _, name := range slices.Concat(r.Collect, r.Exclude) {
		if !slices.ContainsFunc(s.members, func(m member) bool { return m.name == name }) {
			have := make([]string, len(s.members))
			for i, m := range s.members {
				have[i] = m.name
			}
			return fmt.Errorf("unknown or disabled collector %q: this exporter runs %s", name, strings.Join(have, ", "))
		}
	}
	return nil
}

// Gather runs the collectors of a request. The families belong to the caller
// until it calls done. Where no collector succeeded there is nothing that a
// scrape could say, and it returns an error.
func (s *Set) Gather(r Request) (mfs []*dto.MetricFamily, done func(), err error) {
	s.gathering.Lock()
	defer s.gathering.Unlock()
	res := s.take(s.labels.next())
	sc := s.host.Scrape(r.Deadline)
	defer sc.Close()
	var errs []error
	succeeded := false
	for _, m := range s.members {
		if len(r.Collect) > 0 && !slices.Contains(r.Collect, m.name) || slices.Contains(r.Exclude, m.name) {
			continue
		}
		if err := s.run(m, sc, res.sink); err != nil {
			errs = append(errs, fmt.Errorf("collector %s: %w", m.name, err))
		} else {
			succeeded = true
		}
	}
	if len(errs) > 0 && !succeeded {
		s.give(res)
		return nil, nil, errors.Join(errs...)
	}
	s.countSkipped(sc, res.sink)
	res.families = res.sink.gather(res.families[:0])
	return res.families, sync.OnceFunc(func() { s.give(res) }), nil
}

// run is one collector's turn: whatever happens in it, the others have theirs.
// It returns an error where the collector failed.
func (s *Set) run(m member, sc Scrape, out *sink) error {
	start := s.o.Now()
	err := guarded(m, sc, out)
	s.logChange(m.name, err)
	success := 1.0
	if errors.Is(err, ErrNoData) {
		err = nil
	} else if err != nil {
		success = 0
	}
	pairs := s.labels.pairs(shapeCollector, m.name)
	out.add(collectorDuration, s.o.Now().Sub(start).Seconds(), pairs)
	out.add(collectorSuccess, success, pairs)
	return err
}

// guarded turns a panic into an error: a defect in one collector must not end
// the scrape.
func guarded(m member, sc Scrape, out *sink) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("collector panicked: %v", p)
		}
	}()
	return m.update(sc, out)
}

// logGap is the least time between two lines about one collector.
const logGap = time.Minute

// told is what the log last said of a collector.
type told struct {
	text string // of its error; empty: it works.
	at   time.Time
}

// logChange tells of a failure when it begins, changes or ends; of one that
// comes and goes, once in logGap how it stands then.
func (s *Set) logChange(name string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	was, now := s.told[name], s.o.Now()
	if was.text == text || !was.at.IsZero() && now.Sub(was.at) < logGap {
		return
	}
	s.told[name] = told{text, now}
	switch {
	case err == nil:
		_ = level.Info(s.o.Logger).Log("msg", "collector recovered", "collector", name)
	case errors.Is(err, ErrNoData):
		_ = level.Debug(s.o.Logger).Log("msg", "collector has no data", "collector", name, "err", text)
	default:
		_ = level.Error(s.o.Logger).Log("msg", "collector failed", "collector", name, "err", text)
	}
}

func (s *Set) take(scrape uint64) *result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.pool); n > 0 {
		r := s.pool[n-1]
		s.pool = s.pool[:n-1]
		r.sink.reset(scrape)
		return r
	}
	return &result{sink: newSink(s.table, &s.enabled, scrape, s.o.MaxSeries)}
}

// give keeps one result: more are only needed while slow clients read.
func (s *Set) give(r *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pool) < 1 {
		s.pool = append(s.pool, r)
	}
}

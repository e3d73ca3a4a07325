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

// Host is where the collectors get their data; the Snapshot of package host is a Scrape.
type Host interface {
	// Scrape begins a view of the host: a part that several collectors ask for is
	// read once, a part that none asks for is not read. deadline may be zero.
	Scrape(deadline time.Time) Scrape
}

// Scrape is the state of the host during one scrape. It is used by one
// goroutine.
type Scrape interface {
	Node() (*oom.NodeState, error)
	Groups() (*oom.Groups, error)
	Processes() (*oom.Processes, error)
	// Skipped counts what was left out of the parts read so far.
	Skipped() oom.Skipped
	// Close ends the scrape: nothing that it returned may be used after that.
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
	Leaks    func() []oom.Leak   // who leaks; may be nil.
	Logger   log.Logger
	Enabled  map[string]bool // by collector; nil: all.
	Profile  Profile         // the families to begin with.
	Enable   *regexp.Regexp  // families to switch on that the profile leaves out; nil: none.
	Disable  *regexp.Regexp  // families to switch off; nil: none.
	Keep     *Filter
	// MaxSeries bounds those series of a scrape whose number grows with the workloads,
	// cgroups and processes; 0: no bound.
	MaxSeries int
	Now       func() time.Time
}

// Profile is a choice of families.
type Profile string

// The profiles; an empty one means ProfileDefault.
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
		return f.profile == ProfileMinimal
	case ProfileFull:
		return true
	default:
		return f.profile != ProfileFull
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
	all := allFamilies()
	names := make([]string, 0, len(all))
	for i := range all {
		names = append(names, all[i].name)
	}
	return names
}

// all lists the collectors in the order in which they run: the ledger's counters are
// read last.
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

// Set runs the collectors and keeps memory from one scrape for the next.
// It is safe for concurrent use.
//
// It is a gatherer and not a prometheus.Collector for a registry: a request may
// ask for a part of it, and a registry takes six times as long for each series.
// With the zero Request, Gather works like that of a prometheus.TransactionalGatherer.
// A Collector that returned the same samples and described each family of the table
// would pass a pedantic registry.
type Set struct {
	host    Host
	o       Options
	table   *table
	members []member
	labels  *labelCache
	begun   time.Time // since when it counts what scrapes leave out.

	gathering sync.Mutex // one pass at a time; it guards the table's rows, labels and told.
	told      map[string]told

	mu      sync.Mutex
	pool    []*result
	skipped oom.Skipped
	crowded string // path of the cgroup below which the most cgroups were left out.
}

// result is the memory of one scrape, reused when its reader is done.
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
	s := &Set{host: h, o: o, table: newTable(o.wants), labels: newLabelCache(), begun: o.Now(), told: map[string]told{}}
	for _, m := range s.all() {
		if (o.Enabled == nil || o.Enabled[m.name]) && (m.name != "event" || o.Kills != nil) {
			s.members = append(s.members, m)
		}
	}
	return s
}

// wants tells whether a family is on.
func (o *Options) wants(f *family) bool {
	on := o.Profile.has(f) || o.Enable != nil && o.Enable.MatchString(f.name)
	return on && (o.Disable == nil || !o.Disable.MatchString(f.name))
}

// Request narrows one scrape. The zero value asks for everything.
type Request struct {
	Collect, Exclude []string
	Deadline         time.Time
}

// Validate returns an error if a request names a collector that this Set does not run.
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

// run runs one collector. Whatever happens in it, the others still run. It returns
// an error if the collector failed.
func (s *Set) run(m member, sc Scrape, out *sink) error {
	start := s.o.Now()
	err := guarded(m, sc, out)
	s.logChange(m.name, err)
	s.table.runs.emitCopy(out, collectorRun{m.name, s.o.Now().Sub(start), err == nil})
	return err
}

// collectorRun is how one collector did in a scrape.
type collectorRun struct {
	name    string
	took    time.Duration
	success bool
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

// logChange logs when a failure begins, changes or ends, but at most one line per
// logGap and collector.
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
	return &result{sink: newSink(s.table.families, s.labels, scrape, s.o.MaxSeries)}
}

// give keeps one result: more are only needed while slow clients read.
func (s *Set) give(r *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pool) < 1 {
		s.pool = append(s.pool, r)
	}
}

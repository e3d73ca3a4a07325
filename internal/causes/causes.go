// SPDX-License-Identifier: Apache-2.0

// Package causes keeps the verdicts on past kills: how many kills of each cause a
// workload had, and what was said about the latest. Its counts are separate from
// the ledger's, so that neither has to know the other: the ledger says how many
// kills there were, which never depends on a recording, and this package says
// why. Kills are told apart by their IDs, so that one that is added twice, as
// after a restart, counts once.
package causes

import (
	"sync"

	"github.com/go-kit/log"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// maxKills is how many kills are remembered by their IDs: as many as the
	// ledger has records.
	maxKills = 1000
	// maxVerdicts is how many of the latest of them keep their whole verdict.
	maxVerdicts = 200
)

// Options of a Store.
type Options struct {
	File   string // keeps the counts across restarts; empty: nothing does.
	BootID string // the counts are of one boot, like the ledger's.
	Logger log.Logger
}

// Store has the causes of past kills. Its methods are safe for concurrent use.
type Store struct {
	o     Options
	dirty chan struct{} // something waits to be saved.

	mu     sync.Mutex
	counts map[key]uint64
	last   map[oom.Workload]key
	kills  []entry        // oldest first.
	place  map[string]int // index of a kill in kills, plus gone.
	gone   int            // kills that were dropped at the front.
	shown  []oom.CauseKills
	stale  bool // shown is out of date.
	failed bool // the last save failed: the counts are shown unsaved.
}

// key is what kills are counted by.
type key struct {
	Workload oom.Workload
	Cause    oom.Cause
	Grew     oom.Memory
}

// entry is one kill.
type entry struct {
	ID       string       `json:"id"`
	Workload oom.Workload `json:"workload"`
	Verdict  oom.Verdict  `json:"verdict"`
}

func (e *entry) key() key { return key{e.Workload, e.Verdict.Cause, e.Verdict.Grew} }

// New returns a store with what the file has.
func New(o Options) *Store {
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	s := &Store{o: o, dirty: make(chan struct{}, 1), counts: map[key]uint64{}, last: map[oom.Workload]key{}, place: map[string]int{}}
	s.load()
	s.show(s.counts, s.last)
	return s
}

// Add counts a kill; one that was counted before is not counted again.
func (s *Store) Add(k *oom.Kill, v oom.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.place[k.ID]; known || k.ID == "" {
		return
	}
	e := entry{ID: k.ID, Workload: k.Workload, Verdict: v}
	if e.Workload != (oom.Workload{}) {
		s.counts[e.key()]++
		s.last[e.Workload] = e.key()
	}
	s.append(e)
	s.changed()
}

// append remembers a kill; the oldest make room.
func (s *Store) append(e entry) {
	s.place[e.ID] = s.gone + len(s.kills)
	s.kills = append(s.kills, e)
	if n := len(s.kills) - maxVerdicts; n > 0 {
		old := &s.kills[n-1]
		old.Verdict = oom.Verdict{Cause: old.Verdict.Cause, Grew: old.Verdict.Grew, Sure: old.Verdict.Sure}
	}
	if len(s.kills) > maxKills {
		delete(s.place, s.kills[0].ID)
		s.kills = s.kills[1:]
		s.gone++
	}
}

func (s *Store) changed() {
	s.stale = true
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// Of returns the verdict on a kill; of older ones only Cause, Grew and Sure.
func (s *Store) Of(id string) (oom.Verdict, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.place[id]
	if !ok {
		return oom.Verdict{}, false
	}
	return s.kills[i-s.gone].Verdict, true
}

// Missing returns those of the records that were not counted, because the
// exporter ended before it had said why. Kills from before the epoch never count.
func (s *Store) Missing(records []oom.Kill) []oom.Kill {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []oom.Kill
	for _, k := range records {
		if _, known := s.place[k.ID]; !known && k.ID != "" && !k.History {
			missing = append(missing, k)
		}
	}
	return missing
}

// Counts returns, by cause, the kills of those workloads that the ledger still
// has; those that it has evicted are dropped here as well. With a file, the
// counts are those that were saved. again asks the ledger once more: there may
// have been a kill since the caller asked it.
func (s *Store) Counts(workloads []oom.WorkloadKills, again func() ([]oom.WorkloadKills, []oom.Kill)) []oom.CauseKills {
	known := setOf(workloads)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strange(known) {
		living, records := again()
		s.tidy(setOf(living), records)
	}
	if s.stale && (s.o.File == "" || s.failed) {
		s.stale = false
		s.show(s.counts, s.last)
	}
	out := make([]oom.CauseKills, 0, len(s.shown))
	for _, c := range s.shown {
		if known[c.Workload] {
			out = append(out, c)
		}
	}
	return out
}

func setOf(workloads []oom.WorkloadKills) map[oom.Workload]bool {
	set := make(map[oom.Workload]bool, len(workloads))
	for i := range workloads {
		set[workloads[i].Workload] = true
	}
	return set
}

// tidy takes over names that have become known, and drops the workloads that the
// ledger has evicted.
func (s *Store) tidy(living map[oom.Workload]bool, records []oom.Kill) {
	if !s.strange(living) {
		return
	}
	s.rename(records)
	for k := range s.counts {
		if !living[k.Workload] {
			delete(s.counts, k)
			delete(s.last, k.Workload)
		}
	}
	s.changed()
}

// strange tells whether there are counts of a workload that the ledger does not
// have (any more): it was evicted, or its name has become known since.
func (s *Store) strange(known map[oom.Workload]bool) bool {
	for k := range s.counts {
		if !known[k.Workload] {
			return true
		}
	}
	return false
}

// rename gives the kills the workload names that the ledger's records now have.
func (s *Store) rename(records []oom.Kill) {
	for i := range records {
		r := &records[i]
		at, ok := s.place[r.ID]
		if !ok {
			continue
		}
		e := &s.kills[at-s.gone]
		if e.Workload == r.Workload || e.Workload == (oom.Workload{}) {
			continue
		}
		old := e.key()
		e.Workload = r.Workload
		if s.counts[old] > 0 {
			s.counts[old]--
			s.counts[e.key()]++
			s.last[e.Workload] = e.key() // records are oldest first.
		}
		if s.counts[old] == 0 {
			delete(s.counts, old)
		}
	}
}

// show makes these counts what is shown.
func (s *Store) show(counts map[key]uint64, last map[oom.Workload]key) {
	s.shown = make([]oom.CauseKills, 0, len(counts))
	for k, n := range counts {
		s.shown = append(s.shown, oom.CauseKills{
			Workload: k.Workload, Cause: k.Cause, Grew: k.Grew, Kills: n, Last: last[k.Workload] == k,
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

// Package causes keeps what was said of past kills: how many of which cause a
// workload had, and the verdicts of the recorded ones. It is a count of its own
// beside the ledger's, so that neither has to know the other: the ledger says
// how many kills there were, which never depends on a recording, and this says
// of each of them why. Kills are told apart by their IDs, so that one that comes
// twice, as after a restart, counts once.
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
	// maxVerdicts is how many of them, the last, keep their whole verdict.
	maxVerdicts = 200
)

// Options of a Store.
type Options struct {
	File   string // keeps the counts over restarts; empty: nothing does.
	BootID string // counts are of one boot, as the ledger's.
	Logger log.Logger
}

// Store has the causes of past kills. All methods may be called at the same
// time.
type Store struct {
	o     Options
	dirty chan struct{} // something waits to be saved.

	mu     sync.Mutex
	counts map[key]uint64
	kills  []entry        // oldest first.
	place  map[string]int // of a kill in kills, plus dropped.
	gone   int            // kills that were dropped at the front.
	shown  []oom.CauseKills
	stale  bool // shown is not what is there.
	failed bool // the last save failed: all is shown unsaved.
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
	s := &Store{o: o, dirty: make(chan struct{}, 1), counts: map[key]uint64{}, place: map[string]int{}}
	s.load()
	s.show(s.counts, s.kills)
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

// Of returns what was said of a kill; of older ones without a sentence.
func (s *Store) Of(id string) (oom.Verdict, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.place[id]
	if !ok {
		return oom.Verdict{}, false
	}
	return s.kills[i-s.gone].Verdict, true
}

// Missing returns those of the records that were not counted: their exporter
// ended before it had said why. Kills of before the epoch never count.
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

// Counts returns the kills by cause of those workloads that the ledger still
// has; the others have been evicted there, and are here. With a file it is what
// the file has. again asks the ledger for what it has now: between the caller's
// look and this one there may have been a kill.
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
		s.show(s.counts, s.kills)
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

// tidy takes names that have become known, and drops what the ledger has
// evicted.
func (s *Store) tidy(living map[oom.Workload]bool, records []oom.Kill) {
	if !s.strange(living) {
		return
	}
	s.rename(records)
	for k := range s.counts {
		if !living[k.Workload] {
			delete(s.counts, k)
		}
	}
	s.changed()
}

// strange tells whether there are counts of a workload that the ledger does not
// have (any more): it was evicted, or has got its name.
func (s *Store) strange(known map[oom.Workload]bool) bool {
	for k := range s.counts {
		if !known[k.Workload] {
			return true
		}
	}
	return false
}

// rename takes the names of the ledger's records.
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
		}
		if s.counts[old] == 0 {
			delete(s.counts, old)
		}
	}
}

// show makes these counts what is shown.
func (s *Store) show(counts map[key]uint64, kills []entry) {
	last := make(map[oom.Workload]key, len(counts))
	for i := range kills {
		last[kills[i].Workload] = kills[i].key()
	}
	s.shown = make([]oom.CauseKills, 0, len(counts))
	for k, n := range counts {
		s.shown = append(s.shown, oom.CauseKills{
			Workload: k.Workload, Cause: k.Cause, Grew: k.Grew, Kills: n, Last: last[k.Workload] == k,
		})
	}
}

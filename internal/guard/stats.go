// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Buckets are the upper bounds of the reaction times, in seconds.
func Buckets() []float64 {
	return []float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5}
}

// Stats is what the guard has done since it began.
type Stats struct {
	Targets        []Target // watched now, by path.
	Polled         int      // how many of them get no notices from the kernel.
	Crossings      uint64
	Notices        map[NoticeKind]uint64
	Reclaims       uint64
	ReclaimFailed  uint64
	ReclaimedBytes uint64
	Outcomes       map[Outcome]uint64
	Kills          uint64 // processes that were sent SIGKILL.
	Stages         map[Stage]uint64
	Stepped        time.Time // when the loop was last alive.
	Scans          uint64
	ScanFailures   uint64
	Reactions      []uint64 // not cumulative; the last is for what is over all bounds.
	ReactionSum    float64
}

// stats collects Stats.
type stats struct {
	mu sync.Mutex
	s  Stats
}

func newStats() *stats {
	return &stats{s: Stats{
		Notices: map[NoticeKind]uint64{}, Outcomes: map[Outcome]uint64{}, Stages: map[Stage]uint64{}, Reactions: make([]uint64, len(Buckets())+1),
	}}
}

func (s *stats) update(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.s)
}

// snapshot returns a copy.
func (s *stats) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.s
	out.Targets = slices.Clone(out.Targets)
	out.Notices, out.Outcomes = maps.Clone(out.Notices), maps.Clone(out.Outcomes)
	out.Stages = maps.Clone(out.Stages)
	out.Reactions = slices.Clone(out.Reactions)
	return out
}

// note counts an action.
func (s *stats) note(a *Action) {
	s.update(func(st *Stats) {
		st.Outcomes[a.Outcome]++
		st.Kills += uint64(a.Kills)
		st.ReclaimedBytes += a.Reclaimed
		if a.acted() {
			st.react(a.Reaction)
		}
	})
}

func (s *Stats) react(d time.Duration) {
	seconds := max(0, d.Seconds())
	i, _ := slices.BinarySearch(Buckets(), seconds)
	s.Reactions[i]++
	s.ReactionSum += seconds
}

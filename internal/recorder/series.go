// SPDX-License-Identifier: Apache-2.0

package recorder

import "time"

// series is a ring of the slots of a window of time. Repetitions are not stored:
// while nothing moves, there are only the first slot and when it was last true.
type series struct {
	ring    []slot
	head, n int
	seen    stamp // when the last slot was still true.
}

// window is how long a series remembers, and how many slots it has at most.
type window struct {
	length time.Duration
	most   int
}

const (
	fastGap   = 100 * time.Millisecond
	mediumGap = 15 * time.Second
)

// The windows of the fine and of the medium series. The fine one has room for the
// fast pace all the time, and for the ends of plateaus.
func fineWindow() window   { return window{2 * time.Minute, 1280} }
func mediumWindow() window { return window{20 * time.Minute, 96} }

// at returns the slot with that index, the oldest first.
func (s *series) at(i int) *slot { return &s.ring[(s.head+i)%len(s.ring)] }

// last returns the newest slot, nil where there is none.
func (s *series) last() *slot {
	if s.n == 0 {
		return nil
	}
	return s.at(s.n - 1)
}

// add notes a slot that is newer than all before.
func (s *series) add(v slot, w window) {
	if l := s.last(); l != nil {
		if v.repeats(l) {
			s.seen = v.at
			return
		}
		if s.seen != l.at {
			s.push(slot{at: s.seen, usage: l.usage, limit: l.limit}, w)
		}
	}
	s.push(v, w)
	s.seen = v.at
}

// push stores a slot and drops those that the window has left behind. The last
// slot before the window stays, since it was true until the next.
func (s *series) push(v slot, w window) {
	for s.n > 1 && (s.n >= w.most || v.at.since(s.at(1).at) > w.length) {
		s.head, s.n = (s.head+1)%len(s.ring), s.n-1
	}
	switch {
	case s.n == len(s.ring):
		s.resize(min(max(2*s.n, 4), w.most))
	case len(s.ring) > 64 && s.n < len(s.ring)/4:
		s.resize(len(s.ring) / 2)
	}
	s.ring[(s.head+s.n)%len(s.ring)] = v
	s.n++
}

func (s *series) resize(size int) {
	ring := make([]slot, size)
	for i := range s.n {
		ring[i] = *s.at(i)
	}
	s.ring, s.head = ring, 0
}

// slots returns a copy, with the end of the last plateau.
func (s *series) slots() []slot {
	if s.n == 0 {
		return nil
	}
	out := make([]slot, 0, s.n+1)
	for i := range s.n {
		out = append(out, *s.at(i))
	}
	if l := s.last(); s.seen != l.at {
		out = append(out, slot{at: s.seen, usage: l.usage, limit: l.limit})
	}
	return out
}

// The spans of the coarse ring.
const (
	spanLength = 5 * time.Minute
	spanWindow = 24 * time.Hour
	spanMost   = int(spanWindow / spanLength)
)

// span sums up one or more stretches of five minutes that were all alike.
type span struct {
	start                stamp
	count                uint32
	usageMin, usageMax   packed
	unreclMin, unreclMax packed
}

func (p *span) isLike(q *span) bool {
	return p.usageMin == q.usageMin && p.usageMax == q.usageMax && p.unreclMin == q.unreclMin && p.unreclMax == q.unreclMax
}

func (p *span) end() stamp { return p.start.add(time.Duration(p.count) * spanLength) }

// spans is the coarse ring: a day in stretches of five minutes. The last one may
// not be over yet.
type spans []span

// add notes a usage and the unreclaimable part of it, unset where that was not
// read.
func (all *spans) add(at stamp, usage, unrecl packed) {
	s := *all
	if n := len(s); n == 0 || at.since(s[n-1].end()) >= 0 {
		all.begin(at)
		s = *all
	}
	s[len(s)-1].widen(usage, unrecl)
}

// begin opens the five minutes that a time is in. If the two spans before are
// alike, with no gap between them, they become one.
func (all *spans) begin(at stamp) {
	s := *all
	start := at
	if n := len(s); n > 0 {
		start = s[n-1].end().add(at.since(s[n-1].end()) / spanLength * spanLength)
	}
	if n := len(s); n > 1 && s[n-1].isLike(&s[n-2]) && s[n-2].end() == s[n-1].start {
		s[n-2].count += s[n-1].count
		s = s[:n-1]
	}
	drop := 0
	for drop < len(s) && at.since(s[drop].end()) > spanWindow {
		drop++
	}
	if over := len(s) + 1 - drop - spanMost; over > 0 {
		drop += over
	}
	if drop > 0 {
		s = append(s[:0], s[drop:]...)
	}
	s = append(s, span{start: start, count: 1})
	*all = s
}

func (p *span) widen(usage, unrecl packed) {
	widen(&p.usageMin, &p.usageMax, usage)
	widen(&p.unreclMin, &p.unreclMax, unrecl)
}

func widen(least, most *packed, v packed) {
	if v == 0 {
		return
	}
	if *least == 0 || v < *least {
		*least = v
	}
	*most = max(*most, v)
}

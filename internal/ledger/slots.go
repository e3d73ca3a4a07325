// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"time"
)

// slots are the kills that vmstat has shown and that are not published yet.
type slots struct {
	batches []batch // oldest first, none empty.
	n       int64   // their sum.
	debt    int64   // what vmstat went back by beyond them; n is 0 then.
}

// batch is the slots that one read of vmstat has opened.
type batch struct {
	N    int64     `json:"n"`
	At   time.Time `json:"at"`
	read uint64    // reads of all groups that had begun by then.
}

const maxBatches = 1000

// open adds n slots, or takes some away where vmstat went back; what it went
// back by too far is carried over.
func (s *slots) open(n int64, at time.Time, read uint64) {
	for last := len(s.batches) - 1; n < 0 && last >= 0; last-- {
		b := &s.batches[last]
		taken := min(b.N, -n)
		b.N -= taken
		s.n -= taken
		n += taken
		if b.N == 0 {
			s.batches = s.batches[:last]
		}
	}
	if n < 0 {
		s.debt -= n
		return
	}
	paid := min(n, s.debt)
	s.debt -= paid
	n -= paid
	if n == 0 {
		return
	}
	s.n += n
	if last := len(s.batches) - 1; last+1 >= maxBatches {
		s.batches[last].N += n
		return
	}
	s.batches = append(s.batches, batch{N: n, At: at, read: read})
}

// close takes the slot of a kill that a read of the groups has shown: the
// youngest of those that were open when the read began, else the youngest. So
// the age of those that wait without evidence is not renewed by kills that
// are quickly named, and the slot of a kill that no read can have shown yet is
// kept for it. It returns when the slot was opened.
func (s *slots) close(read uint64) (time.Time, bool) {
	for i, b := range slices.Backward(s.batches) {
		if b.read < read {
			return s.closeIn(i)
		}
	}
	return s.closeIn(len(s.batches) - 1)
}

// closeOldest takes the oldest slot.
func (s *slots) closeOldest() (time.Time, bool) { return s.closeIn(0) }

func (s *slots) closeIn(i int) (time.Time, bool) {
	if i < 0 || i >= len(s.batches) {
		return time.Time{}, false
	}
	b := &s.batches[i]
	at := b.At
	if b.N--; b.N == 0 {
		s.batches = append(s.batches[:i], s.batches[i+1:]...)
	}
	s.n--
	return at, true
}

// known returns how many slots have been followed by two reads of all groups.
func (s *slots) known(done uint64) (n int64) {
	for _, b := range s.batches {
		if done >= b.read+2 {
			n += b.N
		}
	}
	return n
}

// ripe returns how many slots were opened before the time and have since been
// followed by two reads of all groups; done is the last read's number.
func (s *slots) ripe(before time.Time, done uint64) int64 {
	var n int64
	for _, b := range s.batches {
		if b.At.After(before) || done < b.read+2 {
			break
		}
		n += b.N
	}
	return n
}

// unread tells whether a slot still lacks one of its two reads.
func (s *slots) unread(done uint64) bool {
	last := len(s.batches) - 1
	return last >= 0 && done < s.batches[last].read+2
}

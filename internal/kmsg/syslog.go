// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

const (
	minRing  = 64 << 10
	maxRing  = 32 << 20
	keepRing = 1 << 20 // how much of the last text is kept to find the place in the next.
)

// Syslog reads the kernel's log by syslog(2), which works where /dev/kmsg may
// not be opened: it needs CAP_SYSLOG and no device. The call neither waits nor
// numbers its records, so it is polled when there is a reason to, and finds
// its place by the text that it saw last.
type Syslog struct {
	read func([]byte) (int, error)
	size func() (int, error)
	now  func() time.Time
	up   func() (time.Duration, bool)

	buf    []byte
	last   []byte // the end of the text of the last poll.
	polled bool
	seq    uint64
}

// NewSyslog returns a reader; its first poll returns the whole ring as
// backlog.
func NewSyslog() *Syslog {
	return &Syslog{read: readRing, size: ringSize, now: time.Now, up: uptime}
}

// Poll returns the records that are new since the last poll. turned says that
// the ring holds nothing of the last poll any more, so that records may have
// been lost in between, nobody knows how many.
func (s *Syslog) Poll(ctx context.Context) (recs []Record, turned bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	text, err := s.readAll()
	if err != nil {
		return nil, false, fmt.Errorf("read kernel log by syslog(2): %w", err)
	}
	first := !s.polled
	from := 0
	if !first {
		from, turned = s.place(text)
	}
	now := s.now()
	for line := range bytes.Lines(text[from:]) {
		rec := parseRing(bytes.TrimSuffix(line, []byte{'\n'}))
		rec.Seq = s.seq
		s.seq++
		s.date(&rec, now, first)
		recs = append(recs, rec)
	}
	s.polled = true
	// An emptied ring (dmesg -C) tells nothing about the place.
	if len(text) > 0 {
		s.last = append(s.last[:0], text[max(0, len(text)-keepRing):]...)
	}
	return recs, turned, nil
}

// readAll reads the ring's text into s.buf, which grows to fit: the prefixes
// of the lines are not part of the ring's size.
func (s *Syslog) readAll() ([]byte, error) {
	if len(s.buf) == 0 {
		size, err := s.size()
		if err != nil {
			return nil, err
		}
		s.buf = make([]byte, min(max(2*size, minRing), maxRing))
	}
	for {
		n, err := s.read(s.buf)
		if err != nil {
			return nil, err
		}
		n = min(n, len(s.buf))
		// Only whole records are copied, so that a full buffer has up to
		// one record's room left.
		if n < len(s.buf)-2*readBytes || len(s.buf) >= maxRing {
			return s.buf[:n], nil
		}
		s.buf = make([]byte, min(2*len(s.buf), maxRing))
	}
}

// place returns the offset of the first new line of text. The ring loses lines
// at its beginning and gains them at its end, so the new text begins with a tail
// of the last one; the longest such tail is taken.
func (s *Syslog) place(text []byte) (from int, turned bool) {
	if len(s.last) == 0 || len(text) == 0 {
		return 0, false
	}
	anchor := s.last[bytes.LastIndexByte(s.last[:len(s.last)-1], '\n')+1:]
	for end := len(text); ; {
		i := bytes.LastIndex(text[:end], anchor)
		if i < 0 {
			return s.placeByStamp(text, anchor), true
		}
		stop := i + len(anchor)
		known := min(stop, len(s.last))
		whole := i == 0 || text[i-1] == '\n'
		if whole && bytes.Equal(text[stop-known:stop], s.last[len(s.last)-known:]) {
			return stop, false
		}
		end = stop - 1
	}
}

// placeByStamp finds the first line that is younger than the last known one;
// without time stamps every line counts as new.
func (s *Syslog) placeByStamp(text, anchor []byte) int {
	last := parseRing(bytes.TrimSuffix(anchor, []byte{'\n'}))
	if !last.HasStamp {
		return 0
	}
	offset := 0
	for line := range bytes.Lines(text) {
		rec := parseRing(bytes.TrimSuffix(line, []byte{'\n'}))
		if !rec.HasStamp || rec.Stamp > last.Stamp {
			return offset
		}
		offset += len(line)
	}
	return offset
}

func (s *Syslog) date(r *Record, now time.Time, backlog bool) {
	r.ReadAt, r.Time, r.Backlog, r.Approximate = now, now, backlog, true
	if up, ok := s.up(); ok && backlog && r.HasStamp && r.Stamp < up {
		r.Time = now.Add(r.Stamp - up)
	}
}

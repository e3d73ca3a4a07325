// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"context"
	"time"
)

// Supervisor says how Supervise keeps a source running.
type Supervisor struct {
	// Open opens the source; it is called again after each failure.
	Open func() (Source, error)
	// Changed, if set, is called when the source comes up (err is nil) or
	// goes down, not while that stays the same.
	Changed func(up bool, err error)
	// MinDelay and MaxDelay bound the pause before the source is opened
	// again; 1 s and 1 min if 0.
	MinDelay, MaxDelay time.Duration

	wait func(ctx context.Context, d time.Duration) error
}

// Supervise runs the source until ctx is done, and opens it again when it
// fails. Each record is emitted once, with the number of those lost before it,
// whatever happened in between. It returns ctx's error.
func Supervise(ctx context.Context, s Supervisor, emit func(Record)) error {
	if s.MinDelay <= 0 {
		s.MinDelay = time.Second
	}
	if s.MaxDelay < s.MinDelay {
		s.MaxDelay = max(time.Minute, s.MinDelay)
	}
	if s.wait == nil {
		s.wait = wait
	}
	state := &supervised{emit: emit}
	delay := s.MinDelay
	for {
		before := state.last
		err := s.run(ctx, state)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		state.change(s.Changed, false, err)
		if state.last != before {
			delay = s.MinDelay
		}
		if err := s.wait(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, s.MaxDelay)
	}
}

// run opens the source and runs it until it fails.
func (s Supervisor) run(ctx context.Context, state *supervised) error {
	src, err := s.Open()
	if err != nil {
		return err
	}
	state.change(s.Changed, true, nil)
	state.resume = state.known
	return src.Run(ctx, state.pass)
}

// supervised is what outlives one run of the source.
type supervised struct {
	last     uint64
	known    bool // last is a record's number.
	resume   bool // nothing new has come since the source was opened.
	told, up bool
	emit     func(Record)
}

func (s *supervised) pass(r Record) {
	if s.resume {
		if r.Seq <= s.last {
			return
		}
		r.Lost = r.Seq - s.last - 1
		s.resume = false
	}
	s.last, s.known = r.Seq, true
	s.emit(r)
}

func (s *supervised) change(changed func(bool, error), up bool, err error) {
	if changed != nil && (!s.told || s.up != up) {
		changed(up, err)
	}
	s.told, s.up = true, up
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

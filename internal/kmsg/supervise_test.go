// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var errBroken = errors.New("broken")

// runs is a source of which each run gives some numbers, then fails.
type runs struct {
	script [][]uint64
	done   context.CancelFunc
}

func (r *runs) Run(_ context.Context, emit func(Record)) error {
	seqs := r.script[0]
	r.script = r.script[1:]
	for _, seq := range seqs {
		emit(Record{Seq: seq})
	}
	if len(r.script) == 0 {
		r.done()
	}
	return errBroken
}

func TestSupervise(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script [][]uint64 // an empty run fails to open.
		want   string     // number:lost.
		states string
		delays string
	}{
		{
			name:   "each record once, losses counted over a reopening",
			script: [][]uint64{{5, 6, 7}, {5, 6, 7, 8}, {10, 11}},
			want:   "5:0 6:0 7:0 8:0 10:1 11:0",
			states: "up down up down up",
			delays: "1s 1s",
		},
		{
			name:   "a longer pause where nothing new came in between",
			script: [][]uint64{{5, 6, 7}, {6, 7}, {9}},
			want:   "5:0 6:0 7:0 9:1",
			states: "up down up down up",
			delays: "1s 2s",
		},
		{
			name:   "longer and longer pauses while it does not open",
			script: [][]uint64{{1}, {}, {}, {}, {}, {3}},
			want:   "1:0 3:1",
			states: "up down up",
			delays: "1s 2s 4s 4s 4s",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var recs, states, delays []string
			src := &runs{script: tc.script, done: cancel}
			err := Supervise(ctx, Supervisor{
				Open: func() (Source, error) {
					if len(src.script[0]) == 0 {
						src.script = src.script[1:]
						return nil, errBroken
					}
					return src, nil
				},
				Changed: func(up bool, err error) {
					if up != (err == nil) {
						t.Errorf("up %v, error %v", up, err)
					}
					states = append(states, map[bool]string{true: "up", false: "down"}[up])
				},
				MinDelay: time.Second, MaxDelay: 4 * time.Second,
				wait: func(_ context.Context, d time.Duration) error {
					delays = append(delays, d.String())
					return nil
				},
			}, func(r Record) { recs = append(recs, fmt.Sprintf("%d:%d", r.Seq, r.Lost)) })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Supervise: %v", err)
			}
			for what, pair := range map[string][2]string{
				"records": {strings.Join(recs, " "), tc.want},
				"states":  {strings.Join(states, " "), tc.states},
				"delays":  {strings.Join(delays, " "), tc.delays},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
				}
			}
		})
	}
}

func TestSuperviseStopsWhileWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	err := Supervise(ctx, Supervisor{
		Open:     func() (Source, error) { cancel(); return nil, errBroken },
		MinDelay: time.Hour,
	}, func(Record) {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Supervise: %v", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"time"
)

// pacer lets one goroutine work at a time, with a rest after each turn: however many
// ask, and however often, the work takes a bounded share of a CPU.
type pacer struct {
	rest  time.Duration
	turn  chan struct{} // full while somebody has the turn.
	ended time.Time     // when the last turn ended; guarded by turn.
}

func newPacer(rest time.Duration) *pacer {
	return &pacer{rest: rest, turn: make(chan struct{}, 1)}
}

// begin waits for a turn. If it returns nil, end must be called.
func (p *pacer) begin(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	left := p.rest - time.Since(p.ended)
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		<-p.turn
		return ctx.Err()
	}
}

// end gives the turn to the next one.
func (p *pacer) end() {
	p.ended = time.Now()
	<-p.turn
}

// SPDX-License-Identifier: Apache-2.0

package kmsg

import "time"

const (
	// A log with busyWakes wakes a second is busy; calmPause is how long it is then
	// left alone after each batch: a wake costs more than reading some lines.
	busyWakes = 10
	calmPause = 50 * time.Millisecond
	// bigBatch is the number of records in a batch after which there is no pause:
	// the ring may be as short as some 1,000 records.
	bigBatch = 100
)

// pace tells when to leave a busy log alone.
type pace struct {
	second  time.Time
	wakes   int  // in this second.
	busy    bool // the last second was.
	records int  // of this batch.
}

// drained ends a batch; it returns how long to wait before the next look.
func (p *pace) drained(now time.Time) time.Duration {
	records := p.records
	p.records = 0
	if records == 0 {
		return 0
	}
	if since := now.Sub(p.second); since >= time.Second || since < 0 {
		p.busy = p.wakes >= busyWakes && since < 2*time.Second
		p.second, p.wakes = now, 0
	}
	p.wakes++
	if records >= bigBatch || !p.busy && p.wakes <= busyWakes {
		return 0
	}
	return calmPause
}

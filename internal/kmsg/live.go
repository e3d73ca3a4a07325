// SPDX-License-Identifier: Apache-2.0

package kmsg

import "time"

const (
	// The kernel's clock and ours drift apart by no more than one part in mostDrift.
	mostDrift = 1000
	// mostLate bounds how late a record is believed to be: what looks like more is rather
	// a clock that has jumped.
	mostLate = 10 * time.Second
)

// liveClock reckons when records were printed that are read as they come: on a busy node
// some are read seconds late. Nobody knows what the kernel's clock shows now, only that no
// record is read before it is printed: the one that was read soonest tells by how much
// the others are late.
type liveClock struct {
	read  time.Time     // when that record was read,
	stamp time.Duration // and its time by the kernel's clock.
}

// printed returns when the record was printed that is read now.
func (c *liveClock) printed(stamp time.Duration, now time.Time) time.Time {
	since := now.Sub(c.read)
	late := since - (stamp - c.stamp) - since/mostDrift
	if c.read.IsZero() || late <= 0 || late > mostLate {
		c.read, c.stamp = now, stamp
		return now
	}
	return now.Add(-late)
}

// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"testing"
	"time"
)

// wakes lets a line come every so often for some time, and returns how often
// the reader looks, and how long a line waits at most.
func wakes(every, over time.Duration) (n int, late time.Duration) {
	p, start := pace{}, time.Unix(1e6, 0)
	free := start // when the reader looks again.
	for at := start; at.Sub(start) < over; {
		now := at
		if free.After(now) {
			now = free
		}
		late = max(late, now.Sub(at))
		for ; !at.After(now); at = at.Add(every) {
			p.records++
		}
		n++
		pause := p.drained(now)
		free = now.Add(pause)
	}
	return n, late
}

func TestPace(t *testing.T) {
	for _, c := range []struct {
		name        string
		every, over time.Duration
		most        int
		late        time.Duration
	}{
		{"a line now and then is read at once", 200 * time.Millisecond, 10 * time.Second, 50, 0},
		{"one report is read at once", 100 * time.Microsecond, 900 * time.Microsecond, 9, 0},
		{"a storm is read by batches", 20 * time.Millisecond, 10 * time.Second, 220, calmPause},
		{"a flood is read as it comes", 100 * time.Microsecond, time.Second, 1000, calmPause},
	} {
		if n, late := wakes(c.every, c.over); n > c.most || late > c.late {
			t.Errorf("%s: %d looks in %v, want up to %d; a line waited %v, want up to %v", c.name, n, c.over, c.most, late, c.late)
		}
	}
}

// After a storm the first line is read at once again.
func TestPaceForgets(t *testing.T) {
	p, now := pace{}, time.Unix(1e6, 0)
	for range 100 {
		p.records++
		now = now.Add(20*time.Millisecond + p.drained(now))
	}
	now = now.Add(5 * time.Second)
	p.records++
	if pause := p.drained(now); pause != 0 {
		t.Errorf("%v of pause after 5 s of silence", pause)
	}
	if pause := p.drained(now); pause != 0 {
		t.Errorf("%v of pause after an empty batch", pause)
	}
}

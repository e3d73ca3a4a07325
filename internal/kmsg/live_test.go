// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLiveClock has records read late by chance, by clocks that drift apart and by some
// that jump, and asks for times that are off by little.
func TestLiveClock(t *testing.T) {
	for name, clock := range map[string]func(since time.Duration) time.Duration{
		"as ours":  func(since time.Duration) time.Duration { return since },
		"slow":     func(since time.Duration) time.Duration { return since - since/5000 },
		"fast":     func(since time.Duration) time.Duration { return since + since/5000 },
		"stood":    func(since time.Duration) time.Duration { return since - min(since/time.Hour, 1)*time.Hour },
		"jumped":   func(since time.Duration) time.Duration { return since + min(since/time.Hour, 1)*time.Minute },
		"backward": func(since time.Duration) time.Duration { return since - min(since/time.Hour, 1)*time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			begun := time.Now()
			var c liveClock
			var at, readLast time.Duration
			for i := range 20_000 {
				at += time.Duration(r.ExpFloat64() * float64(300*time.Millisecond))
				late := time.Duration(r.IntN(3)) * time.Millisecond
				if i > 0 && i%50 > 20 { // for a while nobody reads.
					late += time.Duration(r.ExpFloat64() * float64(700*time.Millisecond))
				}
				readLast = max(readLast, at+late) // in their order.
				got := c.printed(5*time.Hour+clock(at), begun.Add(readLast)).Sub(begun)
				if got > readLast || readLast-at < mostLate && (got-at).Abs() > 100*time.Millisecond && (at-time.Hour).Abs() > time.Minute {
					t.Fatalf("record %d was printed at %v and read at %v, reckoned %v", i, at, readLast, got)
				}
			}
		})
	}
}

// TestLiveClockAlone has a record a day: each was printed when it is read.
func TestLiveClockAlone(t *testing.T) {
	var c liveClock
	now := time.Now()
	for range 5 {
		now = now.Add(24 * time.Hour)
		if got := c.printed(now.Sub(time.Time{})/2, now); got != now {
			t.Errorf("printed %v before it was read", now.Sub(got))
		}
	}
}

// TestDeviceDatesLiveRecords has the second of two records read late, and one that has no
// stamp.
func TestDeviceDatesLiveRecords(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	d := &Device{now: func() time.Time { return now }}
	printed := now
	for i, late := range []time.Duration{0, 3 * time.Second} {
		now = printed.Add(late)
		r := Record{HasStamp: true, Stamp: time.Hour + time.Duration(i)*time.Second}
		if d.date(&r, false); r.Time.Sub(printed).Abs() > 10*time.Millisecond || r.ReadAt != now || r.Approximate || r.Backlog {
			t.Errorf("record %d, printed at %v, is %+v", i, printed, r)
		}
		printed = printed.Add(time.Second)
	}
	var r Record
	if d.date(&r, false); r.Time != now {
		t.Errorf("without a stamp it is %+v", r)
	}
}

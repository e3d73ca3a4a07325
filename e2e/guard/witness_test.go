// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// witness reads the usage and the kernel's kills of a group by itself, all the
// time, so that what the guard says of a kill need not be believed. On a busy
// machine it may miss the last moment, which the kernel's own peak has. On v1 it sets
// that back whenever the group is below its threshold.
type witness struct {
	group *lab.Group
	limit int
	stop  chan struct{}
	done  sync.WaitGroup

	mu      sync.Mutex
	seen    []sighting
	highest uint64 // of the peaks that were set back.
}

type sighting struct {
	at    time.Time
	usage uint64
	kills uint64
	peak  uint64 // since it was set back last; v1 only.
}

// watchGroup has a witness read a group until the test ends.
func watchGroup(t *testing.T, group *lab.Group, limit int) *witness {
	t.Helper()
	w := &witness{group: group, limit: limit, stop: make(chan struct{})}
	w.done.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				w.look(t) // it may have had no CPU in the last moment.
				return
			case <-tick.C:
			}
			w.look(t)
		}
	})
	t.Cleanup(w.end)
	return w
}

func (w *witness) look(t *testing.T) {
	s := sighting{at: time.Now(), usage: usage(t, w.group), kills: kernelKills(t, w.group)}
	if w.group.Version == 1 {
		s.peak = peak(t, w.group)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, s)
	if threshold := w.threshold(); s.usage < threshold && s.peak >= threshold {
		w.highest = max(w.highest, s.peak)
		w.group.Write(t, "memory.max_usage_in_bytes", "0")
	}
}

// peak is the most that the group has used.
func (w *witness) peak(t *testing.T) uint64 {
	t.Helper()
	return max(w.highest, peak(t, w.group))
}

func (w *witness) margin() uint64 { return uint64(marginOf(w.limit)) }

func (w *witness) threshold() uint64 { return uint64(w.limit) - w.margin() }

func (w *witness) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.done.Wait()
}

var killLine = regexp.MustCompile(`time=(\S+) [^\n]*outcome=killed [^\n]*cgroup=(\S+) [^\n]*reaction=(\S+)`)

// check holds every kill that the guard's log has of the group against what the
// witness has seen: the group was over its threshold, it grew, and the kernel
// had not killed when the guard looked, unless the group was seen to come back over
// its threshold since: that is another growth. The kernel counts a kill when it has
// printed its report of it, so at the limit both may kill the same process.
func (w *witness) check(t *testing.T, log string) (kills int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	threshold := w.threshold()
	for _, m := range killLine.FindAllStringSubmatch(log, -1) {
		if m[2] != w.group.Path {
			continue
		}
		kills++
		at, err := time.Parse(time.RFC3339Nano, m[1])
		if err != nil {
			t.Errorf("witness: %v", err)
			continue
		}
		reaction, err := time.ParseDuration(m[3])
		if err != nil {
			t.Errorf("witness: %v", err)
			continue
		}
		var before, most, kernel uint64
		before = 1 << 62
		fell, back := false, true
		for _, s := range w.seen {
			ago := at.Sub(s.at)
			if ago < 0 { // its peak has the moment before the kill.
				back = back || fell && s.peak >= threshold
				break
			}
			if s.kills != kernel && ago >= reaction {
				// It has fallen by this kill if it was not at its limit since.
				fell = fell && s.peak > 0 && s.peak+256<<10 < uint64(w.limit)
				kernel, back = s.kills, false
			}
			back = back || fell && max(s.usage, s.peak) >= threshold
			fell = fell || s.usage < threshold
			if ago < 3*time.Second {
				before, most = min(before, s.usage), max(most, s.usage)
			}
		}
		most = max(most, w.peak(t))
		switch {
		case most < threshold:
			t.Errorf("witness: %s: killed at %d bytes at most, the threshold is %d", m[2], most, threshold)
		case most < before+w.margin()/64:
			t.Errorf("witness: %s: killed without growth, %d to %d bytes in 3 s", m[2], before, most)
		case !back:
			t.Errorf("witness: %s: killed after the kernel had killed %d", m[2], kernel)
		}
	}
	return kills
}

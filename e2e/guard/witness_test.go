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
// machine it may miss the last moment, which the kernel's own peak has.
type witness struct {
	group *lab.Group
	limit int
	stop  chan struct{}
	done  sync.WaitGroup

	mu   sync.Mutex
	seen []sighting
}

type sighting struct {
	at    time.Time
	usage uint64
	kills uint64
}

// watchGroup has a witness read a group until the test ends.
func watchGroup(t *testing.T, group *lab.Group, limit int) *witness {
	t.Helper()
	w := &witness{group: group, limit: limit, stop: make(chan struct{})}
	file := "memory.current"
	if group.Version == 1 {
		file = "memory.usage_in_bytes"
	}
	w.done.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
			s := sighting{time.Now(), group.Uint(t, file), kernelKills(t, group)}
			w.mu.Lock()
			w.seen = append(w.seen, s)
			w.mu.Unlock()
		}
	})
	t.Cleanup(w.end)
	return w
}

func (w *witness) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.done.Wait()
}

var killLine = regexp.MustCompile(`time=(\S+) [^\n]*outcome=killed [^\n]*cgroup=(\S+) `)

// check holds every kill that the guard's log has of the group against what the
// witness has seen: the group was over its threshold, it grew, and the kernel
// had not killed, unless the group was seen to come back over its threshold since:
// that is another growth.
func (w *witness) check(t *testing.T, log string) (kills int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	margin := uint64(min(max(w.limit/50, mib), 50*mib))
	threshold := uint64(w.limit) - margin
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
		var before, most, kernel uint64
		before = 1 << 62
		fell, back := false, true
		for _, s := range w.seen {
			ago := at.Sub(s.at)
			if ago < 0 {
				break
			}
			if s.kills != kernel {
				kernel, fell, back = s.kills, false, false
			}
			fell = fell || s.usage < threshold
			back = back || fell && s.usage >= threshold
			if ago < 3*time.Second {
				before, most = min(before, s.usage), max(most, s.usage)
			}
		}
		most = max(most, peak(t, w.group))
		switch {
		case most < threshold:
			t.Errorf("witness: %s: killed at %d bytes at most, the threshold is %d", m[2], most, threshold)
		case most < before+margin/64:
			t.Errorf("witness: %s: killed without growth, %d to %d bytes in 3 s", m[2], before, most)
		case !back:
			t.Errorf("witness: %s: killed after the kernel had killed %d", m[2], kernel)
		}
	}
	return kills
}

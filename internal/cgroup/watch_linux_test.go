// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deadline is how long a test waits for what must come.
const deadline = 10 * time.Second

func watch(t *testing.T, h *Hierarchy, opts WatchOptions) (wake <-chan struct{}, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	if opts.OnError == nil {
		opts.OnError = func(err error) { t.Error(err) }
	}
	wake, err := h.Watch(ctx, opts)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	stop = func() {
		cancel()
		for {
			select {
			case _, ok := <-wake:
				if !ok {
					return
				}
			case <-time.After(deadline):
				t.Fatal("the watch does not end")
			}
		}
	}
	t.Cleanup(stop)
	return wake, stop
}

func mustWake(t *testing.T, wake <-chan struct{}) {
	t.Helper()
	select {
	case _, ok := <-wake:
		if !ok {
			t.Fatal("the channel is closed")
		}
	case <-time.After(deadline):
		t.Fatal("no wake")
	}
}

func mustStayAsleep(t *testing.T, wake <-chan struct{}, quiet time.Duration) {
	t.Helper()
	select {
	case <-wake:
		t.Error("a wake without a reason")
	case <-time.After(quiet):
	}
}

func TestWatch(t *testing.T) {
	dir, mount := rootV2(t)
	for _, g := range []string{"/a", "/a/1", "/b"} {
		groupV2(t, mount+g, 1)
	}
	h := mustFind(t, options(dir, 0))
	before := countFDs(t)
	wake, stop := watch(t, h, WatchOptions{MinInterval: time.Millisecond})
	if more := countFDs(t) - before; more < 1 || more > 3 { // inotify, and the runtime's poller.
		t.Errorf("%d descriptors more", more)
	}
	mustStayAsleep(t, wake, 20*time.Millisecond)
	setEvents(t, mount+"/b", 1, 1)
	mustWake(t, wake)
	drain(wake)

	// A new top-level group, as mkdir of a cgroup shows it: complete at once.
	groupV2(t, dir+"/new", 1)
	if err := os.Rename(dir+"/new", mount+"/new"); err != nil {
		t.Fatal(err)
	}
	mustWake(t, wake)
	drain(wake)
	setEvents(t, mount+"/new", 1, 1)
	mustWake(t, wake)
	drain(wake)

	// One that got its files later is watched from the next Read on.
	groupV2(t, mount+"/late", 1)
	mustRead(t, h)
	drain(wake)
	setEvents(t, mount+"/late", 1, 1)
	mustWake(t, wake)

	if _, err := h.Watch(t.Context(), WatchOptions{}); err == nil {
		t.Error("two watches at a time")
	}
	drain(wake) // so that it waits for the kernel when it is told to end.
	stop()
	wake, stop = watch(t, h, WatchOptions{MinInterval: time.Millisecond})
	mustRead(t, h)
	setEvents(t, mount+"/late", 2, 2)
	mustWake(t, wake)
	stop()
	if after := countFDs(t); after > before+2 { // the poller stays.
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// drain takes wakes until none comes for a while.
func drain(wake <-chan struct{}) {
	for {
		select {
		case <-wake:
		case <-time.After(30 * time.Millisecond):
			return
		}
	}
}

// A group at its limit raises events all the time; wakes keep their distance and
// the last change is told too.
func TestWatchOfAThrashingGroup(t *testing.T) {
	dir, mount := rootV2(t)
	groupV2(t, mount+"/busy", 1)
	h := mustFind(t, options(dir, 0))
	const interval = 50 * time.Millisecond
	wake, _ := watch(t, h, WatchOptions{MinInterval: interval})
	start, wakes, writes := time.Now(), 0, 0
	for time.Since(start) < 10*interval {
		setEvents(t, mount+"/busy", writes, writes)
		writes++
		select {
		case <-wake:
			wakes++
		default:
		}
	}
	took := time.Since(start)
	if most := int(took/interval) + 2; wakes == 0 || wakes > most {
		t.Errorf("%d wakes for %d writes in %v, want at most %d", wakes, writes, took, most)
	}
	drain(wake)
	setEvents(t, mount+"/busy", writes, writes)
	mustWake(t, wake)
}

// Wakes that lead to nothing become rare, and frequent again when they are of use.
func TestWatchIntervals(t *testing.T) {
	useful := false
	o := WatchOptions{MinInterval: 100 * time.Millisecond, Useful: func() bool { return useful }}.withDefaults()
	var interval time.Duration
	for _, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		if interval = o.after(interval, interval); interval != want*time.Millisecond {
			t.Errorf("interval %v, want %v ms", interval, int(want))
		}
	}
	if got := o.after(time.Second, time.Minute); got != o.MinInterval {
		t.Errorf("interval %v after a minute without events, want %v", got, o.MinInterval)
	}
	useful = true
	if got := o.after(time.Second, time.Second); got != o.MinInterval {
		t.Errorf("interval %v after a useful wake, want %v", got, o.MinInterval)
	}
	if got := (WatchOptions{}).withDefaults().after(time.Second, time.Second); got != 100*time.Millisecond {
		t.Errorf("interval %v where nobody says what is useful, want the least", got)
	}
}

func TestWatchOfAThrashingGroupBacksOff(t *testing.T) {
	dir, mount := rootV2(t)
	groupV2(t, mount+"/busy", 1)
	const least, most, span = 2 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond
	h := mustFind(t, options(dir, 0))
	wake, _ := watch(t, h, WatchOptions{MinInterval: least, MaxInterval: most, Useful: func() bool { return false }})
	wakes := 0
	start := time.Now()
	for n := 0; time.Since(start) < span; n++ {
		setEvents(t, mount+"/busy", n, n)
		select {
		case <-wake:
			wakes++
		default:
		}
	}
	// Six doublings, then one in each most.
	if limit := 7 + int(time.Since(start)/most) + 1; wakes == 0 || wakes > limit {
		t.Errorf("%d wakes in %v, want at most %d", wakes, time.Since(start), limit)
	}
}

// Nobody reading must not stop the watch, nor its end.
func TestWatchWithoutReader(t *testing.T) {
	dir, mount := rootV2(t)
	groupV2(t, mount+"/a", 1)
	h := mustFind(t, options(dir, 0))
	wake, stop := watch(t, h, WatchOptions{MinInterval: time.Millisecond})
	for i := range 200 {
		setEvents(t, mount+"/a", i, i)
	}
	mustWake(t, wake)
	stop()
}

// v1 and counters that are not passed on have nothing to watch.
func TestWatchThatNeverWakes(t *testing.T) {
	for _, name := range []string{"v1", "v2-4.19", "v2-localevents"} {
		dir := unpack(t, name)
		h := mustFind(t, options(dir, 0))
		wake, stop := watch(t, h, WatchOptions{})
		put(t, h.Mount()+"/pod/memory.events", "oom_kill 99\n")
		mustStayAsleep(t, wake, 30*time.Millisecond)
		stop()
	}
}

// Without osrelease, the files themselves tell that counters are passed on.
func TestWatchWithoutRelease(t *testing.T) {
	dir, mount := rootV2(t)
	groupV2(t, mount+"/a", 1)
	put(t, dir+"/proc/sys/kernel/osrelease", "\n")
	wake, _ := watch(t, mustFind(t, options(dir, 0)), WatchOptions{MinInterval: time.Millisecond})
	setEvents(t, mount+"/a", 1, 1)
	mustWake(t, wake)
}

func TestWatchFails(t *testing.T) {
	dir, mount := rootV2(t)
	h := mustFind(t, options(dir, 0))
	if err := os.RemoveAll(mount); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Watch(t.Context(), WatchOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if h.watcher != nil {
		t.Error("a watcher is left")
	}
}

// event is a struct inotify_event.
func event(mask uint32, name string) []byte {
	padded := make([]byte, (len(name)+16)/16*16)
	copy(padded, name)
	b := make([]byte, 16)
	binary.NativeEndian.PutUint32(b[4:], mask)
	binary.NativeEndian.PutUint32(b[12:], uint32(len(padded)))
	return append(b, padded...)
}

func TestParseInotify(t *testing.T) {
	f := func(b []byte, wantNames []string, wantOverflow bool) {
		t.Helper()
		names, overflow := parseInotify(b)
		if !slices.Equal(names, wantNames) || overflow != wantOverflow {
			t.Errorf("got %q %v, want %q %v", names, overflow, wantNames, wantOverflow)
		}
	}
	f(nil, nil, false)
	f(event(unix.IN_CREATE|unix.IN_ISDIR, "pod1"), []string{"pod1"}, false)
	f(slices.Concat(event(unix.IN_MODIFY, ""), event(unix.IN_MOVED_TO|unix.IN_ISDIR, "a"), event(unix.IN_CREATE, "file")),
		[]string{"a"}, false)
	f(slices.Concat(event(unix.IN_Q_OVERFLOW, ""), event(unix.IN_IGNORED, "")), nil, true)
	f(event(unix.IN_CREATE|unix.IN_ISDIR, "cut off")[:20], nil, false)
}

func FuzzParseInotify(f *testing.F) {
	f.Add(event(unix.IN_CREATE|unix.IN_ISDIR, "pod1"))
	f.Add(event(unix.IN_Q_OVERFLOW, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		names, _ := parseInotify(b)
		for _, name := range names {
			if name == "" || len(name) > len(b) || slices.Contains([]byte(name), 0) {
				t.Errorf("%q: name %q", b, name)
			}
		}
	})
}

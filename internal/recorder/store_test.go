// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// busy returns a world in which much was recorded, and the recording of a kill.
func busy(t *testing.T, o Options) (*world, oom.Recording) {
	t.Helper()
	w := newWorld(t)
	pod := w.add("/pod", 0, 1000*mi, func(at time.Duration) uint64 { return 100*mi + uint64(at/time.Second%500)*mi })
	a := w.add("/pod/a", pod.Handle, 500*mi, w.ramp(0, mi/18))
	a.pids = []int32{7, 8}
	w.procs[7] = oom.Process{PID: 7, Start: 70, Comm: "seven", RSS: 7 * mi}
	w.procs[8] = oom.Process{PID: 8, Start: 80, Comm: "eight\n", RSS: 8 * mi}
	w.add("/pod/b", pod.Handle, 0, w.ramp(mi, mi/10))
	w.start(o)
	w.pass(3 * time.Second)
	w.add("/pod/c", pod.Handle, 0, w.ramp(mi, mi/10))
	w.pass(2 * time.Hour)
	return w, w.recorded(w.kill("boot-1", "/pod/a", "/pod"))
}

func equal() cmp.Option { return cmp.AllowUnexported(oom.Amount{}) }

func TestNothingIsLostOverARestart(t *testing.T) {
	store := newFiles()
	w, want := busy(t, Options{Store: store, BootID: "boot"})
	coarse, _ := w.rec.Current("/pod/a")
	young, _ := w.rec.Current("/pod/c")
	if len(coarse.Coarse) < 23 || len(want.Siblings) == 0 || want.Owner == nil || len(want.Victim.Tasks) == 0 {
		t.Fatalf("too little was recorded: %d spans, %d siblings, owner %v, %d tasks", len(coarse.Coarse), len(want.Siblings), want.Owner != nil, len(want.Victim.Tasks))
	}
	w.rec.saveRecordings()
	w.rec.saveRings()
	w.uptime += 10 * time.Second
	w.skew = -time.Hour // the clock is set while nobody looks.
	w.start(Options{Store: store, BootID: "boot"})
	w.pass(2 * time.Second)
	got, ok := w.rec.Recording("boot-1")
	if diff := cmp.Diff(want, got, equal()); !ok || diff != "" {
		t.Errorf("recording (-before +after):\n%s", diff)
	}
	after, _ := w.rec.Current("/pod/a")
	if n := len(after.Coarse); n < len(coarse.Coarse) || after.Coarse[0].UsageMin != coarse.Coarse[0].UsageMin {
		t.Errorf("%d spans after the restart, want %d", n, len(coarse.Coarse))
	}
	if age := w.now().Sub(after.Coarse[0].Start).Round(time.Minute); age != 2*time.Hour {
		t.Errorf("the first span is %v old", age)
	}
	if !after.Born.IsZero() {
		t.Errorf("what was there at the first start was made at %v", after.Born)
	}
	c, _ := w.rec.Current("/pod/c")
	if d := c.Born.Sub(young.Born) - w.skew; d.Abs() > time.Second {
		t.Errorf("it was made at %v, before the restart at %v", c.Born, young.Born)
	}
	if len(store.aside) != 0 {
		t.Errorf("set aside: %v", store.aside)
	}
}

// TestRingsOutliveAStartThatFindsNothing ends before any cgroup could be listed.
func TestRingsOutliveAStartThatFindsNothing(t *testing.T) {
	store := newFiles()
	w, _ := busy(t, Options{Store: store, BootID: "boot"})
	w.rec.saveRings()
	w.findErr = errFull
	w.start(Options{Store: store, BootID: "boot"})
	w.pass(3 * time.Second)
	w.rec.saveRings()
	w.findErr = nil
	w.start(Options{Store: store, BootID: "boot"})
	w.pass(time.Second)
	if tr, _ := w.rec.Current("/pod/a"); len(tr.Coarse) < 23 {
		t.Errorf("%d spans after two restarts", len(tr.Coarse))
	}
}

// TestAnotherCgroupHasNoneOfARing gives a path to another cgroup meanwhile.
func TestAnotherCgroupHasNoneOfARing(t *testing.T) {
	store := newFiles()
	w, _ := busy(t, Options{Store: store, BootID: "boot"})
	w.rec.saveRings()
	for _, b := range w.all {
		b.Inode += 100
	}
	w.start(Options{Store: store, BootID: "boot"})
	w.pass(time.Second)
	if tr, _ := w.rec.Current("/pod/a"); len(tr.Coarse) != 1 {
		t.Errorf("%d spans of another cgroup", len(tr.Coarse)-1)
	}
}

func TestUselessFilesAreRefused(t *testing.T) {
	store := newFiles()
	w, _ := busy(t, Options{Store: store, BootID: "boot"})
	w.rec.saveRecordings()
	w.rec.saveRings()
	for _, tt := range []struct {
		name   string
		damage func([]byte) []byte
		boot   string
		aside  bool
	}{
		{"torn", func(b []byte) []byte { return b[:len(b)/2] }, "boot", true},
		{"empty", func([]byte) []byte { return nil }, "boot", true},
		{"altered", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "boot", true},
		{"foreign", func([]byte) []byte { return []byte(`{"version":1,"crc32":77,"state":{}}`) }, "boot", true},
		{"another version", func(b []byte) []byte { b[7]++; return b }, "boot", true},
		{"another boot", func(b []byte) []byte { return b }, "other", false},
		{"damaged under a right sum", func(b []byte) []byte {
			body, _ := unseal(string(b[:8]), "boot", b)
			return seal(string(b[:8]), "boot", body[:len(body)-1])
		}, "boot", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			damaged := newFiles()
			for name, b := range store.content {
				damaged.content[name] = tt.damage(slices.Clone(b))
			}
			var logged bytes.Buffer
			w.start(Options{Store: damaged, BootID: tt.boot, Logger: log.NewLogfmtLogger(&logged)})
			w.pass(time.Second)
			if n := w.rec.Health().Recordings; n != 0 {
				t.Errorf("%d recordings of a useless file", n)
			}
			if tr, _ := w.rec.Current("/pod/a"); len(tr.Coarse) != 1 {
				t.Errorf("%d spans of a useless file", len(tr.Coarse)-1)
			}
			if aside := len(damaged.aside) == 2; aside != tt.aside || strings.Count(logged.String(), "ignoring") != 2 {
				t.Errorf("set aside %v, logged:\n%s", damaged.aside, logged.String())
			}
		})
	}
}

func TestAFullDiskCostsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t)
		w.add("/a", 0, 1000*mi, func(time.Duration) uint64 { return uint64(time.Since(began).Seconds()) * mi })
		store := newFiles()
		store.fail(errFull)
		var mu sync.Mutex
		var logged bytes.Buffer
		w.start(Options{Store: store, BootID: "boot", Logger: log.NewSyncLogger(log.NewLogfmtLogger(writer{&mu, &logged}))})
		w.rec.o.Uptime = func() time.Duration { return time.Hour + time.Since(began) }
		w.rec.o.Now = time.Now
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = w.rec.Run(ctx) }()
		<-time.After(5 * time.Second)
		w.rec.Freeze(oom.Kill{ID: "1", Time: time.Now(), VictimPath: "/a", LimitPath: "/a"})
		<-time.After(100 * time.Second)
		if rec, ok := w.rec.Recording("1"); !ok || len(rec.Victim.Fine) < 5 {
			t.Errorf("recording %v with %d samples", ok, len(rec.Victim.Fine))
		}
		if h := w.rec.Health(); h.Unsaved < 99*time.Second || h.Samples < 90 {
			t.Errorf("with a full disk: %+v", h)
		}
		store.fail(nil)
		<-time.After(time.Minute)
		if h := w.rec.Health(); h.Unsaved != 0 {
			t.Errorf("with room again: %+v", h)
		}
		cancel()
		<-done
		mu.Lock()
		defer mu.Unlock()
		if n := strings.Count(logged.String(), "cannot save recordings"); n != 2 || len(store.content) != 2 {
			t.Errorf("%d files, logged:\n%s", len(store.content), logged.String())
		}
	})
}

type writer struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

// TestAStormIsBounded freezes a thousand kills while the recorder runs.
func TestAStormIsBounded(t *testing.T) {
	store := newFiles()
	w := newWorld(t)
	for i := range 64 {
		w.add(fmt.Sprintf("/c%d", i), 0, 1000*mi, func(at time.Duration) uint64 { return uint64(800+at/time.Millisecond%200) * mi })
	}
	w.start(Options{Store: store, BootID: "boot"})
	w.pass(3 * time.Minute)
	began := time.Now()
	for i := range 1000 {
		w.rec.Freeze(w.kill(fmt.Sprint(i), fmt.Sprintf("/c%d", i%64), "/"))
	}
	h := w.rec.Health()
	if h.Recordings != 200 || h.RecordingsDropped != 800 || w.rec.frozen.bytes > mostBytes {
		t.Errorf("%+v, %d bytes", h, w.rec.frozen.bytes)
	}
	t.Logf("a kill is frozen in %v; 200 of the largest take %d KiB", time.Since(began)/1000, w.rec.frozen.bytes>>10)
	if _, ok := w.rec.Recording("799"); ok {
		t.Error("the oldest did not give way")
	}
	w.rec.saveRecordings()
	w.start(Options{Store: store, BootID: "boot", MaxRecordings: 50})
	if _, ok := w.rec.Recording("999"); !ok || w.rec.Health().Recordings != 50 {
		t.Errorf("after a restart with fewer: %+v", w.rec.Health())
	}
}

// TestShortLivesAreBounded has thousands of cgroups come and go, each seen once at
// most: what is kept of them is bounded, and no kill in one is given more than was
// read.
func TestShortLivesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.start(Options{})
	w.pass(3 * time.Second)
	for second := range 30 {
		var born []*box
		for i := range 300 {
			born = append(born, w.add(fmt.Sprintf("/short%d-%d", second, i), 0, 64*mi, steady(mi)))
		}
		for _, b := range born[:100] { // these live for 5 ms.
			w.remove(b)
		}
		w.pass(1100 * time.Millisecond)
		for i, b := range born {
			if i >= 100 {
				w.remove(b)
			}
			if i%50 != 0 {
				continue
			}
			rec := w.recorded(w.kill(b.Path, b.Path, b.Path))
			if n := len(rec.Victim.Fine); n > 3 || i < 100 && (n > 0 || rec.Gap >= 0) {
				t.Fatalf("%s has %d samples, a gap of %v", b.Path, n, rec.Gap)
			}
		}
	}
	w.pass(2 * time.Second)
	if n := len(w.rec.gone); n > mostGone || len(w.rec.byPath) > mostGone+len(w.rec.live) {
		t.Errorf("%d cgroups that are gone are kept, and %d paths", n, len(w.rec.byPath))
	}
	w.pass(goneFor + 2*time.Second)
	if len(w.rec.gone) > 0 || len(w.rec.byPath) != 1 || len(w.rec.byHandle) > 1000 {
		t.Errorf("a minute later, %d cgroups that are gone are kept, %d paths and %d handles", len(w.rec.gone), len(w.rec.byPath), len(w.rec.byHandle))
	}
}

func FuzzRecording(f *testing.F) {
	w := newWorld(&testing.T{})
	w.add("/a", 0, 1000*mi, w.ramp(0, mi))
	w.start(Options{})
	w.pass(time.Minute)
	w.rec.Freeze(w.kill("k", "/a", "/"))
	f.Add(w.rec.frozen.byID["k"])
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeRecording(b)
		if err != nil {
			return
		}
		again, err := decodeRecording(c.encode())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.model(), again.model()) {
			t.Error("encoded and decoded it is another")
		}
	})
}

func FuzzFiles(f *testing.F) {
	w := newWorld(&testing.T{})
	w.add("/a", 0, 1000*mi, w.ramp(0, mi))
	w.start(Options{})
	w.pass(time.Minute)
	w.rec.Freeze(w.kill("k", "/a", "/"))
	f.Add(w.rec.frozen.encode())
	f.Add(w.rec.encodeRings())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newShelf(10)
		if err := s.decode(b); err == nil && len(s.order) > 10 {
			t.Errorf("%d recordings", len(s.order))
		}
		if all, err := decodeRings(b); err == nil {
			for _, tr := range all {
				if n := len(tr.coarse.model(clock{})); n > spanMost+1 {
					t.Errorf("%d spans", n)
				}
			}
		}
	})
}

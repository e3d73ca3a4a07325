// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// TestAllAtTheSameTime asks for everything while the recorder samples; the race
// detector has the last word.
func TestAllAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		b := w.add(fmt.Sprintf("/c%d", i), 0, 1000*mi, w.ramp(800*mi, mi))
		b.pids = []int32{int32(i + 1)}
		w.procs[int32(i+1)] = oom.Process{PID: int32(i + 1), Start: 1, Comm: "p", RSS: mi}
	}
	var clock sync.Mutex // the world's.
	store := newFiles()
	w.start(Options{Store: store, BootID: "boot", MaxRecordings: 10})
	uptime := func() time.Duration {
		clock.Lock()
		defer clock.Unlock()
		return w.uptime
	}
	w.rec.o.Uptime = uptime
	w.rec.o.Now = func() time.Time { return epoch.Add(uptime()) }
	stop := make(chan struct{})
	var askers sync.WaitGroup
	for i := range 3 {
		askers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprint(i, "-", n)
				w.rec.Freeze(oom.Kill{ID: id, Time: w.rec.o.Now(), VictimPath: fmt.Sprintf("/c%d", n%20), LimitPath: "/"})
				_, _ = w.rec.Recording(id)
				_, _ = w.rec.Current("/c1")
				_ = w.rec.Tracks()
				_ = w.rec.Health()
				w.rec.saveRecordings()
				w.rec.saveRings()
			}
		})
	}
	for i := range 300 {
		if i%10 == 5 {
			w.remove(w.living()[1+i/10%15])
			w.add(fmt.Sprintf("/n%d", i), 0, 1000*mi, steady(uint64(i)*mi))
		}
		gap := w.rec.tick()
		clock.Lock()
		w.uptime += max(gap, time.Millisecond)
		clock.Unlock()
	}
	close(stop)
	askers.Wait()
}

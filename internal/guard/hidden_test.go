// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// all is a top with all groups below it.
type all struct{ f *fake }

func (a all) Tops() map[string]uint64 {
	defer a.f.locked()()
	var sum uint64
	for _, g := range a.f.groups {
		if g.Kind == oom.KindContainer {
			sum += g.Usage.Or(0)
		}
	}
	return map[string]uint64{"/top": sum}
}

// TestALeakBehindAFall has a container fill up while another gives more back, so
// that what is above both only falls, and then leak: it is met.
func TestALeakBehindAFall(t *testing.T) {
	const fall, late, fill = 450 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond
	for _, limit := range []uint64{64 * mib, 128 * mib, 1024 * mib} {
		for _, rate := range []uint64{1 * mib, 10 * mib, 50 * mib} {
			for phase := range 10 {
				f := newFake(t)
				f.armable = false
				f.add("/top", oom.KindSlice, 0, 0)
				old := f.add("/top/old", oom.KindContainer, 2*limit, limit*3/2, 9)
				c := f.add("/top/c", oom.KindContainer, limit, mib, 10)
				o := f.options()
				o.Tops = all{f}
				threshold, _ := o.Margin.Threshold(limit)
				filled := threshold - mib - rate/2
				g := f.start(o)
				f.run(g, time.Minute+time.Duration(phase)*73*time.Millisecond)
				begin := f.clock()
				usage := func(passed time.Duration) {
					defer f.locked()()
					fallen := min(1, passed.Seconds()/fall.Seconds())
					part := min(1, max(0, (passed-late).Seconds()/fill.Seconds()))
					leaked := max(0, (passed-late-fill-200*time.Millisecond).Seconds()) * float64(rate)
					old.Usage = oom.Of(limit*3/2 - uint64(fallen*float64(limit*3/2)))
					c.Usage = oom.Of(min(limit, mib+uint64(part*float64(filled-mib)+leaked)))
				}
				for len(f.killed) == 0 && c.Usage.Or(0) < limit {
					f.Wait(max(min(settle(g), 10*time.Millisecond), time.Millisecond))
					usage(f.clock().Sub(begin))
					settle(g)
				}
				if c.Usage.Or(0) >= limit && len(f.killed) == 0 {
					t.Errorf("limit %d MiB, %d MiB/s, phase %d: not met", limit/mib, rate/mib, phase)
				}
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// kernelLeak is a group of v1 whose kernel memory changes with time, in a bubble of
// synctest: reclaim takes time, in which all else goes on.
type kernelLeak struct {
	*fake
	g     *Guard
	group *oom.Group
	size  func(passed time.Duration) (kernel, caches uint64)
	takes time.Duration // reclaim.
	begun time.Time
	wake  chan struct{}
	freed uint64 // of the caches.
	most  uint64 // usage.
	full  int    // times that it was at its limit.
}

func newKernelLeak(t *testing.T, limit uint64, takes time.Duration, size func(time.Duration) (kernel, caches uint64)) *kernelLeak {
	t.Helper()
	f := newFake(t)
	f.version = 1
	f.add("/top", oom.KindSlice, 0, 0)
	k := &kernelLeak{
		fake: f, group: f.add("/top/a", oom.KindContainer, limit, mib, 10), size: size, takes: takes, begun: time.Now(), wake: make(chan struct{}, 1),
	}
	k.group.Stat.SlabReclaimable = oom.Amount{}
	k.change()
	o := f.options()
	o.Bell, o.Reclaimer, o.Now = k, k, time.Now
	o.Tops = all{f} // no notice comes of kernel memory.
	k.g = f.start(o)
	return k
}

// change has the group as large as it is by now.
func (k *kernelLeak) change() {
	defer k.locked()()
	if len(k.killed) > 0 {
		return
	}
	kernel, caches := k.size(time.Since(k.begun))
	usage := kernel + caches - min(k.freed, caches)
	if limit := k.group.Limit.Or(0); usage >= limit {
		k.full++
		usage = limit
	}
	k.most = max(k.most, usage)
	k.group.Usage, k.group.Stat.Kernel = oom.Of(usage), oom.Of(usage-k.group.Stat.InactiveFile.Or(0))
	k.group.Stat.Anon, k.group.Stat.File = oom.Of(0), k.group.Stat.InactiveFile
}

func (k *kernelLeak) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *kernelLeak) Wait(d time.Duration) []Notice {
	select {
	case <-k.wake:
	case <-time.After(d):
	}
	return nil
}

func (k *kernelLeak) Reclaim(oom.GroupID, uint64) error {
	<-time.After(k.takes)
	unlock := k.locked()
	k.reclaims++
	_, k.freed = k.size(time.Since(k.begun))
	unlock()
	k.change()
	return nil
}

// run lets the guard watch for so long, or until somebody is killed or the limit is
// reached.
func (k *kernelLeak) run(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() {
		if err := k.g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for ctx.Err() == nil {
		<-time.After(time.Millisecond)
		k.change()
		unlock := k.locked()
		if k.full > 0 || len(k.killed) > 0 {
			cancel()
		}
		unlock()
	}
	running.Wait()
}

// rising grows from a size at a rate after half a second.
func rising(from uint64, rate float64) func(time.Duration) uint64 {
	return func(passed time.Duration) uint64 {
		return from + uint64(max(0, passed-500*time.Millisecond).Seconds()*rate)
	}
}

// TestKernelMemoryIsMetInTime has kernel memory that can't be freed grow into limits,
// while to find that out takes longer than there is from the threshold on.
func TestKernelMemoryIsMetInTime(t *testing.T) {
	for _, c := range []struct {
		limit uint64
		rate  float64
	}{{64 * mib, 3 * mib}, {64 * mib, 10 * mib}, {256 * mib, 25 * mib}, {256 * mib, 40 * mib}, {1024 * mib, 100 * mib}} {
		synctest.Test(t, func(t *testing.T) {
			leak := rising(c.limit-uint64(c.rate)-c.limit/50, c.rate)
			k := newKernelLeak(t, c.limit, 190*time.Millisecond, func(passed time.Duration) (uint64, uint64) { return leak(passed), 0 })
			k.run(t, 10*time.Second)
			if k.full > 0 || len(k.killed) != 1 {
				t.Errorf("%.0f MiB/s under %d MiB: at its limit %d times, %d killed after %d reclaims", c.rate/mib, c.limit/mib, k.full, len(k.killed), k.reclaims)
			}
		})
	}
}

// TestCachesOfTheKernelAreNoReason has caches of the kernel fill a group again and
// again: nobody is killed, and reclaim is asked for twice a second at most.
func TestCachesOfTheKernelAreNoReason(t *testing.T) {
	const limit, lasts = 64 * mib, 20 * time.Second
	for _, rate := range []float64{3 * mib, 10 * mib, 40 * mib} {
		synctest.Test(t, func(t *testing.T) {
			caches := rising(20*mib, rate)
			k := newKernelLeak(t, limit, 5*time.Millisecond, func(passed time.Duration) (uint64, uint64) { return 20 * mib, caches(passed) })
			k.run(t, lasts)
			if len(k.killed) > 0 || k.full > 0 || k.most < limit-16*mib {
				t.Errorf("%.0f MiB/s: %d killed, it had %d MiB at most", rate/mib, len(k.killed), k.most/mib)
			}
			if most := int((lasts+probeAhead)/probeEach) + 2; k.reclaims > most || k.reclaims == 0 {
				t.Errorf("%.0f MiB/s: %d reclaims in %v, want at most %d", rate/mib, k.reclaims, lasts, most)
			}
		})
	}
}

// TestPinnedMemoryThatGoesIsForgotten has memory that can't be freed go, and caches
// come in its place: they are reclaimed, and nobody is killed.
func TestPinnedMemoryThatGoesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const turn = 1500 * time.Millisecond // at 62 MiB.
		up, again := rising(52*mib, 10*mib), rising(20*mib, 10*mib)
		probes := 0
		var k *kernelLeak
		k = newKernelLeak(t, 64*mib, 5*time.Millisecond, func(passed time.Duration) (uint64, uint64) {
			if passed < turn {
				return up(passed), 0
			}
			if probes == 0 {
				probes = k.reclaims
			}
			return 20 * mib, again(passed - turn)
		})
		k.run(t, 7*time.Second)
		if probes == 0 || len(k.killed) > 0 || k.full > 0 || k.reclaims == probes {
			t.Errorf("%d reclaims, and %d of caches; %d killed", probes, k.reclaims-probes, len(k.killed))
		}
	})
}

// TestProbesAreForWhoNeedsThem has groups that are not probed on their way to the
// threshold.
func TestProbesAreForWhoNeedsThem(t *testing.T) {
	leak := rising(52*mib, 10*mib)
	for name, change := range map[string]func(k *kernelLeak){
		"v2": func(k *kernelLeak) {
			k.version, k.group.Stat.SlabReclaimable = 2, oom.Of(0)
			if err := k.g.Scan(); err != nil {
				t.Error(err)
			}
		},
		"switched off":    func(k *kernelLeak) { k.off = true },
		"noop":            func(k *kernelLeak) { k.g.o.Policy = PolicyNoop },
		"stands":          func(k *kernelLeak) { k.size = func(time.Duration) (uint64, uint64) { return 62 * mib, 0 } },
		"much page cache": func(k *kernelLeak) { k.group.Stat.InactiveFile = oom.Of(20 * mib) },
		"":                func(*kernelLeak) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := newKernelLeak(t, 64*mib, time.Millisecond, func(passed time.Duration) (uint64, uint64) { return leak(passed), 0 })
			change(k)
			k.run(t, 1400*time.Millisecond)
			if probed := k.reclaims > 0; probed != (name == "") {
				t.Errorf("%q: %d reclaims below the threshold", name, k.reclaims)
			}
		})
	}
}

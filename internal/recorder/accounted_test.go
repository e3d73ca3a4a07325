// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// pods makes pods of containers below a slice, all of which stand still. The usage of a
// pod is that of its containers and what is charged to itself.
func (w *world) pods(n, each int, usage uint64) (pods []*box, containers [][]*box, own []uint64) {
	slice := w.add("/slice", 0, 0, nil)
	containers, own = make([][]*box, n), make([]uint64, n)
	for i := range n {
		pod := w.add(fmt.Sprintf("/slice/p%03d", i), slice.Handle, 0, nil)
		for j := range each {
			containers[i] = append(containers[i], w.add(fmt.Sprintf("%s/c%d", pod.Path, j), pod.Handle, 500*mi, steady(usage)))
		}
		pod.usage = func(at time.Duration) uint64 {
			sum := own[i]
			for _, b := range containers[i] {
				sum += b.usage(at)
			}
			return sum
		}
		pods = append(pods, pod)
	}
	slice.usage = func(at time.Duration) (sum uint64) {
		for _, pod := range pods {
			sum += pod.usage(at)
		}
		return sum
	}
	return pods, containers, own
}

// TestSiblingsOfWhatMovesAreNotRead has one container in each pod that grows: the
// others of its pod are known to stand still.
func TestSiblingsOfWhatMovesAreNotRead(t *testing.T) {
	w := newWorld(t)
	_, containers, own := w.pods(50, 8, 10*mi)
	for i := range own {
		own[i] = uint64(i) * 3 * mi
	}
	w.start(Options{})
	for i := range containers {
		containers[i][i%8].usage = w.ramp(10*mi, mi/2)
	}
	w.pass(30 * time.Second)
	before := w.usages
	w.pass(20 * time.Second)
	if rate := float64(w.usages-before) / 20; rate > 150 {
		t.Errorf("%v readings a second of 450 cgroups of which 50 move", rate)
	}
	for i := range containers {
		tr, _ := w.rec.Current(containers[i][i%8].Path)
		if longest, n := gaps(tr.Fine, 15*time.Second); longest > 1100*time.Millisecond || n < 14 {
			t.Fatalf("%s has %d samples, up to %v apart", tr.Cgroup, n, longest)
		}
	}
	other := containers[7][0]
	other.usage = steady(300 * mi) // a jump beside the one that grows.
	w.pass(1100 * time.Millisecond)
	tr, _ := w.rec.Current(other.Path)
	jump := slices.IndexFunc(tr.Fine, func(s oom.Sample) bool { return s.Usage == oom.Of(300*mi) })
	if jump < 1 {
		t.Fatalf("a jump was not seen in a second: %v", tr.Fine[len(tr.Fine)-1].Usage)
	}
	if before := tr.Fine[jump-1]; before.Usage != oom.Of(10*mi) || tr.Fine[jump].Time.Sub(before.Time) > 1100*time.Millisecond {
		t.Errorf("it is known to have had %v at %v, but not until the jump at %v", before.Usage, before.Time, tr.Fine[jump].Time)
	}
}

// TestTheGapOfWhatWasNotRead has a kill in a container that stood still for so long
// that it was not read: it is known for all that what it had a second before.
func TestTheGapOfWhatWasNotRead(t *testing.T) {
	w := newWorld(t)
	_, containers, _ := w.pods(1, 3, 10*mi)
	w.start(Options{})
	containers[0][0].usage = w.ramp(10*mi, mi/4)
	for range 60 { // at whatever time it was read last.
		w.pass(1700 * time.Millisecond)
		still := containers[0][1]
		if rec := w.recorded(w.kill(fmt.Sprint("k", w.uptime), still.Path, still.Path)); rec.Gap < 0 || rec.Gap > 1100*time.Millisecond {
			t.Fatalf("the last sample is %v before the kill", rec.Gap)
		}
	}
}

// TestTheRateOfWhatWasNotRead has a container that stood still, unread, begin to grow:
// its rate is that of the last second, and not of the time since it was read.
func TestTheRateOfWhatWasNotRead(t *testing.T) {
	for phase := range 8 {
		w := newWorld(t)
		_, containers, _ := w.pods(1, 3, 10*mi)
		w.start(Options{})
		containers[0][0].usage = w.ramp(10*mi, mi/4)
		w.pass(60*time.Second + time.Duration(phase)*3700*time.Millisecond)
		grows := containers[0][1]
		grows.usage = w.ramp(10*mi, 40*mi)
		w.pass(1050 * time.Millisecond)
		tr := w.rec.byHandle[grows.Handle]
		// The first tick of a pass may be a second late: it was waited for twice.
		if moved := tr.usage.or(0) - 10*mi/pages; moved <= 0 || tr.growth < moved/2 {
			t.Errorf("phase %d: %.0f pages a second, after it grew by %.0f in a second", phase, tr.growth, moved)
		}
	}
}

// TestOppositeMoves has two containers of a pod that move by the very same.
func TestOppositeMoves(t *testing.T) {
	w := newWorld(t)
	_, containers, _ := w.pods(1, 3, 10*mi)
	w.start(Options{})
	containers[0][0].usage = w.ramp(10*mi, mi/4)
	w.pass(70 * time.Second)
	containers[0][1].usage, containers[0][2].usage = steady(4*mi), steady(16*mi)
	w.pass(stillGap + 2*time.Second)
	for j, want := range []uint64{4 * mi, 16 * mi} {
		tr, _ := w.rec.Current(containers[0][1+j].Path)
		if got := tr.Fine[len(tr.Fine)-1].Usage; got != oom.Of(want) {
			t.Errorf("container %d has %v half a minute later, want %d", 1+j, got, want)
		}
	}
}

// TestUsageIsKnownOfAll lets containers jump, come and go, and pods be charged
// themselves: a second later all is known, read or not.
func TestUsageIsKnownOfAll(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(t)
		pods, containers, own := w.pods(12, 5, 0)
		for _, in := range containers {
			for _, b := range in {
				b.usage = steady(uint64(1+rng.IntN(40_000)) * 4096)
			}
		}
		w.start(Options{})
		w.pass(12 * time.Second)
		for round := range 150 {
			for range rng.IntN(4) {
				i, j := rng.IntN(len(pods)), rng.IntN(5)
				switch rng.IntN(12) {
				case 0:
					own[i] = uint64(rng.IntN(4000)) * 4096
				case 1:
					if in := containers[i]; len(in) > 1 {
						w.remove(in[0])
						containers[i] = slices.Clone(in[1:])
					}
				case 2:
					path := fmt.Sprintf("%s/n%d-%d", pods[i].Path, round, rng.IntN(1000))
					containers[i] = append(containers[i], w.add(path, pods[i].Handle, 500*mi, steady(uint64(1+rng.IntN(40_000))*4096)))
				default:
					in := containers[i]
					in[j%len(in)].usage = steady(uint64(1+rng.IntN(100_000)) * 4096)
				}
			}
			w.pass(2500 * time.Millisecond)
			for _, b := range w.living()[1:] {
				if got := w.rec.byHandle[b.Handle].usage; got != pack(oom.Of(b.usage(w.uptime)), pages) {
					t.Fatalf("seed %d, round %d: %s has %d pages, known are %v", seed, round, b.Path, b.usage(w.uptime)/pages, got.or(0))
				}
			}
		}
	}
}

// TestLimitsOfWhatStandsStill are read, but seldom, and at once when it moves.
func TestLimitsOfWhatStandsStill(t *testing.T) {
	w := newWorld(t)
	_, containers, _ := w.pods(20, 5, 10*mi)
	w.start(Options{})
	w.pass(3 * time.Minute)
	before := w.limits
	w.pass(4 * time.Minute)
	if n := w.limits - before; n < 200 || n > 300 {
		t.Errorf("%d limits of 120 cgroups at rest read in 4 min, want about two of each", n)
	}
	a, b := containers[3][0], containers[4][0]
	a.limit, b.limit = 100*mi, 100*mi
	b.usage = steady(11 * mi)
	w.pass(1100 * time.Millisecond)
	if tr, _ := w.rec.Current(b.Path); tr.Fine[len(tr.Fine)-1].Limit != oom.Of(100*mi) {
		t.Errorf("the limit of one that moves is still %v", tr.Fine[len(tr.Fine)-1].Limit)
	}
	w.pass(stillLimitGap + 20*time.Second)
	if tr, _ := w.rec.Current(a.Path); tr.Fine[len(tr.Fine)-1].Limit != oom.Of(100*mi) {
		t.Errorf("the limit of one at rest is still %v", tr.Fine[len(tr.Fine)-1].Limit)
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// emulated tells whether this is the guest of a run, whose CPUs are emulated.
func emulated() bool { return os.Getenv("OOM_E2E_HANDOFF") != "" }

// speed compares an emulated machine with the one that emulates it. What a
// notice and a look are made of, a wake and reads of the kernel's files, is
// timed on both in the same run; the bar is as much longer as that takes.
type speed struct{ here, host time.Duration }

// measure times this machine, and the guest's host if this is a guest.
func measure(t *testing.T) speed {
	t.Helper()
	return compare(t, handoff, "OOM_E2E_HANDOFF")
}

// measureRest does so for what a machine at rest does: to be woken by a timer,
// with nothing in its caches, and to read a file of the kernel's.
func measureRest(t *testing.T) speed {
	t.Helper()
	return compare(t, tick, "OOM_E2E_TICK")
}

// compare times a guest and takes its host's time from the environment; the
// host itself need not be timed.
func compare(t *testing.T, timed func(*testing.T) time.Duration, env string) speed {
	t.Helper()
	if !emulated() {
		return speed{1, 1}
	}
	host, err := time.ParseDuration(os.Getenv(env))
	if err != nil {
		t.Fatal(err)
	}
	return speed{timed(t), host}
}

// factor is how much slower this machine is, 1 on the host itself.
func (s speed) factor() float64 { return max(1, float64(s.here)/float64(s.host)) }

func (s speed) bar() time.Duration { return time.Duration(s.factor() * float64(barTime)) }

// share counts the leaks that must be met, and those of them that were.
func (s speed) share(all []*leak) (met, of int) {
	return share(all, func(l *leak) bool { return l.budget() > s.bar() })
}

// slower says so in a table's text.
func (s speed) slower() string {
	if !emulated() {
		return ""
	}
	return fmt.Sprintf("\nThe guest's CPUs are emulated: a timer's wake and a read of a file take them %v, %.1f times as long as the host. The bar is 0.1 %% times that.\n",
		s.here.Round(time.Microsecond), s.factor())
}

func (s speed) describe(b *strings.Builder, all []*leak) {
	if !emulated() {
		return
	}
	met, of := s.share(all)
	fmt.Fprintf(b, "\nThe guest's CPUs are emulated, without KVM. A byte to a sleeping thread, which reads a file of /proc, and back takes %v there at its best and %v on\n"+
		"the host: %.1f times as long. 20 ms times that are %v. With a bound above that: %d of %d, a share of %.3f.\n",
		s.here.Round(time.Microsecond), s.host.Round(time.Microsecond), s.factor(), s.bar().Round(time.Millisecond), met, of, float64(met)/float64(max(of, 1)))
}

// tick is the CPU time of a thread that a timer wakes and that reads a file, the
// median of many.
func tick(t *testing.T) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := func() time.Duration {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
			t.Fatal(err)
		}
		return time.Duration(now.Nano())
	}
	var took []time.Duration
	pause := unix.NsecToTimespec(int64(100 * time.Millisecond))
	for range 100 {
		before := cpu()
		_ = unix.Nanosleep(&pause, nil)
		_, _ = os.ReadFile("/proc/self/status")
		took = append(took, cpu()-before)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// handoff is the time that a byte takes to a thread that sleeps, which reads a
// file of the kernel's, and back: what a tenth of them take, since what else
// the machine does only adds to it.
func handoff(t *testing.T) time.Duration {
	t.Helper()
	var there, back [2]int
	for _, p := range []*[2]int{&there, &back} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var b [1]byte
		for n, err := unix.Read(there[0], b[:]); n == 1 && err == nil; n, err = unix.Read(there[0], b[:]) {
			_, _ = os.ReadFile("/proc/self/status")
			_, _ = unix.Write(back[1], b[:])
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var took []time.Duration
	var b [1]byte
	for range 1000 {
		begun := time.Now()
		if _, err := unix.Write(there[1], b[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Read(back[0], b[:]); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	_ = unix.Close(there[1])
	<-done
	for _, fd := range []int{there[0], back[0], back[1]} {
		_ = unix.Close(fd)
	}
	slices.Sort(took)
	return took[len(took)/10]
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package recorder_test holds the flight recorder against real kills on real
// kernels: how near to a kill its last sample is, and what is left of a recording
// when the exporter is killed.
//
// The environment tunes a run:
//
//	OOM_E2E_SEED      seed of the draws; printed, drawn by time if not given.
//	OOM_E2E_EVIDENCE  directory to write the tables to.
//	OOM_E2E_FULL      300 kills instead of 24, and those of a guest.
//	OOM_E2E_GUEST     set in a guest, to its name.
package recorder_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const mi = 1 << 20

func full() bool { return os.Getenv("OOM_E2E_FULL") != "" }

// seed is that of this run.
func seed(t *testing.T) uint64 {
	n := uint64(time.Now().UnixNano()) % 1e6
	if s := os.Getenv("OOM_E2E_SEED"); s != "" {
		fmt.Sscan(s, &n)
	}
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", n, n)
	return n
}

// evidence logs a table, and writes it where the environment says so; not one of
// a test that failed.
func evidence(t *testing.T, name, text string) {
	t.Helper()
	t.Log(text)
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func kernel() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:])
}

// hogVariable makes the test binary a process that grows: its cgroup.procs, a
// file for its heartbeat, the bytes to begin with, the seconds to hold them, and
// the bytes a second to grow by.
const hogVariable = "OOM_E2E_GROW"

func TestMain(m *testing.M) {
	if args := os.Getenv(hogVariable); args != "" {
		os.Exit(grow(strings.Split(args, ",")))
	}
	os.Exit(m.Run())
}

// grow never ends by itself. Before each step it writes down what time it is, so
// that the last heartbeat is the time of its death.
func grow(args []string) int {
	if err := os.WriteFile(args[0], []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	f, err := os.OpenFile(args[1], os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil || f.Truncate(4096) != nil {
		return 2
	}
	beat, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 2
	}
	from, hold, rate := number(args[2]), number(args[3]), number(args[4])
	arena, err := unix.Mmap(-1, 0, 8<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return 3
	}
	touched := touch(arena, 0, from)
	<-time.After(time.Duration(hold * float64(time.Second)))
	began := time.Now()
	binary.NativeEndian.PutUint64(beat[8:], uint64(boottime()))
	for touched < len(arena) {
		binary.NativeEndian.PutUint64(beat, uint64(boottime()))
		touched = touch(arena, touched, from+rate*time.Since(began).Seconds())
		<-time.After(2 * time.Millisecond)
	}
	return 4
}

func touch(arena []byte, touched int, upTo float64) int {
	for ; touched < min(int(upTo), len(arena)); touched += 4096 {
		arena[touched] = 1
	}
	return touched
}

func number(s string) float64 {
	n, _ := strconv.ParseFloat(s, 64)
	return n
}

func boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

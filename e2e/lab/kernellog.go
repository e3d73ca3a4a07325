// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// KernelLog counts the kills that the kernel's log tells of, by the name of
// the process that died. The log names each of them: the line is not among
// those that the kernel leaves out when there are many.
type KernelLog struct {
	fd    int
	kills map[string]int
}

// NewKernelLog counts from now on. The test is skipped where the log can't be read.
func NewKernelLog(t testing.TB) *KernelLog {
	t.Helper()
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("needs the kernel's log: %v", &os.PathError{Op: "open", Path: "/dev/kmsg", Err: err})
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		t.Fatal(err)
	}
	return &KernelLog{fd: fd, kills: map[string]int{}}
}

// Kills is how many processes of that name (at most 15 bytes) were killed.
func (l *KernelLog) Kills(t testing.TB, comm string) int {
	t.Helper()
	l.read(t)
	return l.kills[comm]
}

// All is how many processes were killed.
func (l *KernelLog) All(t testing.TB) int {
	t.Helper()
	l.read(t)
	sum := 0
	for _, n := range l.kills {
		sum += n
	}
	return sum
}

func (l *KernelLog) read(t testing.TB) {
	t.Helper()
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(l.fd, buf)
		switch {
		case errors.Is(err, syscall.EPIPE):
			t.Error("the kernel's log lost records before the test read them")
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return
		case err != nil:
			t.Fatalf("read the kernel's log: %v", err)
		default:
			if comm, ok := killedComm(string(buf[:n])); ok {
				l.kills[comm]++
			}
		}
	}
}

// killedComm reads a record like
//
//	3,1234,5678,-;Memory cgroup out of memory: Killed process 42 (hog) total-vm:...
func killedComm(record string) (comm string, ok bool) {
	prefix, text, _ := strings.Cut(record, ";")
	priority, _, _ := strings.Cut(prefix, ",")
	if p, err := strconv.Atoi(priority); err != nil || p >= 8 {
		return "", false // not the kernel's own.
	}
	_, rest, ok := strings.Cut(text, "Killed process ")
	if !ok {
		return "", false
	}
	_, rest, ok = strings.Cut(rest, " (")
	comm, _, ok2 := strings.Cut(rest, ") total-vm:")
	return comm, ok && ok2
}

// NodeKills is the kernel's own count of kills since boot.
func NodeKills(t testing.TB) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		t.Fatal(err)
	}
	return Keys(string(b))["oom_kill"]
}

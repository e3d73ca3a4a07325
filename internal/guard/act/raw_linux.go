// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These system calls never block, and are made several times a second as long as
// the program runs. An ordinary one tells the runtime that its thread may block,
// which wakes the runtime's monitor: more work than the call itself.

// readUsage reads the beginning of a small file.
func readUsage(fd int, b []byte) (int, error) {
	// The offset is 0, in however many registers it is passed.
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("read usage: %w", errno)
	}
	return int(n), nil
}

// pollNow returns the pending events without waiting.
func pollNow(epoll int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("wait for notices: %w", errno)
	}
	return int(n), nil
}

// setTimer sets a timer.
func setTimer(fd int, after *unix.ItimerSpec) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(after)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("wait for notices: %w", errno)
	}
	return nil
}

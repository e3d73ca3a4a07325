// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/guard"
)

// held is a process that can be killed: by its pidfd or, where the kernel has none
// (pidfd_open came with 5.3) or a seccomp filter denies it, by its pid, which is
// checked once more immediately before.
type held struct {
	guard.Victim
	fd int // -1: none.
}

// denied tells whether a system call is not there, or not allowed at all.
func denied(err error) bool { return errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) }

// grab opens a process, if it is still the one that was chosen.
func (k *Kernel) grab(v guard.Victim) (held, error) {
	fd, err := unix.PidfdOpen(int(v.PID), 0)
	if denied(err) {
		fd, err = -1, nil
	}
	if err != nil {
		return held{}, gone(fmt.Errorf("open pidfd of process %d: %w", v.PID, err))
	}
	h := held{v, fd}
	if err := k.same(h); err != nil {
		h.close()
		return held{}, err
	}
	return h, nil
}

// same makes sure that a process has the start time of the one that was chosen.
func (k *Kernel) same(h held) error {
	now, err := k.stat(h.PID)
	if err != nil {
		return gone(err)
	}
	if now.start != h.Start {
		return fmt.Errorf("another process has the pid %d: %w", h.PID, guard.ErrGone)
	}
	return nil
}

// signal sends a signal.
func (k *Kernel) signal(h held, sig unix.Signal) error {
	if h.fd >= 0 {
		err := unix.PidfdSendSignal(h.fd, sig, nil, 0)
		if !denied(err) {
			return signalError(h.PID, sig, err)
		}
	}
	if err := k.same(h); err != nil {
		return err
	}
	return signalError(h.PID, sig, unix.Kill(int(h.PID), sig))
}

func signalError(pid int32, sig unix.Signal, err error) error {
	if err == nil {
		return nil
	}
	return gone(fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), pid, err))
}

// reap has the kernel free the memory of a process that was killed, where it can
// (5.15), without waiting until the process gets the CPU to do so. A GiB takes a
// tenth of a second, so reap does not wait for the end.
func (h held) reap() {
	if h.fd < 0 {
		return
	}
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return
	}
	go func() {
		_, _, _ = unix.Syscall(unix.SYS_PROCESS_MRELEASE, uintptr(fd), 0, 0)
		_ = unix.Close(fd)
	}()
}

func (h held) close() {
	if h.fd >= 0 {
		_ = unix.Close(h.fd)
	}
}

func release(all []held) {
	for _, h := range all {
		h.close()
	}
}

// HasPidfd tells whether processes can be held by a descriptor here.
func HasPidfd() bool {
	fd, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return !denied(unix.PidfdSendSignal(fd, 0, nil, 0))
}

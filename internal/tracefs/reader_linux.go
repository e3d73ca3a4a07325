// SPDX-License-Identifier: Apache-2.0

package tracefs

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// pipe reads a trace by poll(2) and raw reads: a read through the runtime's
// poller would have to wake another thread, and victims don't wait.
type pipe struct {
	trace int
	end   int // becomes readable when reading is to end.
	stop  *os.File
}

func openPipe(path string) (*pipe, error) {
	trace, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		_ = unix.Close(trace)
		return nil, os.NewSyscallError("pipe2", err)
	}
	return &pipe{trace: trace, end: ends[0], stop: os.NewFile(uintptr(ends[1]), "end")}, nil
}

// Stop makes Read return; any goroutine may call it, more than once.
func (p *pipe) Stop() { _ = p.stop.Close() }

// Close is for when nobody reads any more.
func (p *pipe) Close() {
	p.Stop()
	_ = unix.Close(p.end)
	_ = unix.Close(p.trace)
}

// hurry gives the calling goroutine a thread of its own with real-time priority,
// which takes CAP_SYS_NICE. The thread is idle except at kills; on two busy CPUs
// it names 97 of 100 victims instead of 85. It ends with the goroutine.
func hurry() {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
}

// Read waits for the trace.
func (p *pipe) Read(b []byte) (int, error) {
	fds := []unix.PollFd{
		{Fd: int32(p.trace), Events: unix.POLLIN},
		{Fd: int32(p.end), Events: unix.POLLIN},
	}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, os.NewSyscallError("poll", err)
		case fds[1].Revents != 0:
			return 0, os.ErrClosed
		}
		n, err := unix.Read(p.trace, b)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			_, _ = unix.Poll(fds[1:], 1) // whatever poll says, never keep a CPU busy.
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

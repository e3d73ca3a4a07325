// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// runDevice reads one record per read until a read fails for good. Up to the
// first empty read the records are backlog.
func (d *Device) runDevice(deliver func(raw []byte, backlog bool)) error {
	conn, err := d.file.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, readBytes)
	backlog := true
	refused := 0
	var p pace
	for {
		var n int
		var readErr error
		var pause time.Duration
		err := conn.Read(func(fd uintptr) bool {
			n, readErr = d.read(int(fd), buf)
			if errors.Is(readErr, unix.EAGAIN) {
				if backlog {
					d.drained()
				}
				backlog = false
				pause = p.drained(time.Now())
				return pause > 0
			}
			return true
		})
		switch {
		case err != nil:
			return err
		case pause > 0:
			<-time.After(pause)
		case errors.Is(readErr, unix.EINTR):
		// EPIPE: records were overwritten, the next read begins at the
		// oldest. EINVAL: the record did not fit and was skipped. Both show
		// as a gap in the numbers.
		case errors.Is(readErr, unix.EPIPE), errors.Is(readErr, unix.EINVAL):
			if refused++; refused > maxRefused {
				return readErr
			}
		case readErr != nil:
			return readErr
		case n == 0:
			return io.EOF
		default:
			refused = 0
			p.records++
			deliver(buf[:n], backlog)
		}
	}
}

func readFD(fd int, p []byte) (int, error) { return unix.Read(fd, p) }

// uptime is the clock that is nearest to the one of the kernel's log.
func uptime() (time.Duration, bool) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

// readRing reads the text of the kernel's log without consuming it.
func readRing(buf []byte) (int, error) {
	return unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
}

// ringSize returns the size of the kernel's log.
func ringSize() (int, error) {
	return unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
}

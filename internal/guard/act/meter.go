// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/cgroups/v3/cgroup1"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// meter reads the usage of one group through a descriptor that stays open.
type meter struct {
	bell  *Bell
	id    oom.GroupID
	token uint32
	usage *os.File
	fd    int // of usage: one read is enough; the library would read again for the end.
	event int // v1: the eventfd, -1 if none.
	buf   [32]byte
}

// Usage implements guard.Meter.
func (m *meter) Usage() (uint64, error) {
	n, err := readUsage(m.fd, m.buf[:])
	if err != nil {
		return 0, gone(err)
	}
	return parseUsage(m.buf[:n])
}

// Arm implements guard.Meter with v1's usage thresholds: one eventfd serves all of
// a group's marks, and the kernel drops them when it is closed
// (Documentation/admin-guide/cgroup-v1/memory.rst, section 9).
func (m *meter) Arm(marks ...uint64) bool {
	if m.bell.kernel.Version() != 1 || m.bell.refused {
		return false
	}
	m.disarm()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return false
	}
	m.event = fd
	for _, mark := range marks {
		if err := m.register(cgroup1.MemoryThresholdEvent(mark, false)); err != nil {
			m.disarm()
			// It is no refusal that the group has gone.
			m.bell.refused = m.bell.refused || !errors.Is(gone(err), guard.ErrGone)
			return false
		}
	}
	if err := m.bell.add(fd, int32(m.token), unix.EPOLLIN|unix.EPOLLET); err != nil {
		m.disarm()
		return false
	}
	return true
}

// register writes "EVENTFD USAGEFD MARK" to cgroup.event_control. The library
// does so too, but with a file and an eventfd for each mark.
func (m *meter) register(event cgroup1.MemoryEvent) error {
	d, err := m.bell.kernel.open(m.id)
	if err != nil {
		return err
	}
	defer d.close()
	file, err := d.file(event.EventFile(), unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	return d.write("cgroup.event_control", fmt.Sprintf("%d %d %s", m.event, file.Fd(), event.Arg()))
}

// Mute implements guard.Meter. What has come meanwhile is told when muting ends.
func (m *meter) Mute(on bool) {
	if m.event < 0 {
		return
	}
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(m.token)}
	if on {
		e.Events = 0
	}
	_ = unix.EpollCtl(m.bell.epoll, unix.EPOLL_CTL_MOD, m.event, &e)
}

func (m *meter) disarm() {
	if m.event >= 0 {
		_ = unix.Close(m.event)
		m.event = -1
	}
}

// Close implements guard.Meter.
func (m *meter) Close() {
	m.disarm()
	_ = m.usage.Close()
	if m.bell.files != nil {
		m.bell.files.forget(m.token)
	}
}

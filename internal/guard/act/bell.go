// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The tokens of notices that are not a group's. Those of groups count up from 1.
const (
	tokenWake = math.MaxInt32 - iota
	tokenFiles
	tokenPressure
	tokenTimer
)

// Bell waits for all notices of the kernel with one epoll, so that a thousand
// groups take one goroutine in all, and two descriptors each. It implements
// guard.Bell and guard.Sum.
type Bell struct {
	kernel   *Kernel
	epoll    int
	waiter   *os.File // of epoll, so that the Go runtime's poller waits for it.
	timer    int
	wake     *os.File // an eventfd.
	pressure *os.File // nil: the kernel allows no trigger.
	files    *files   // nil: no inotify.
	tops     map[string]*os.File
	events   [256]unix.EpollEvent
	notices  []guard.Notice
	refused  bool // v1: cgroup.event_control can't be written.
}

// NewBell opens a Bell. It does without a PSI trigger or inotify where the kernel
// allows none.
func NewBell(k *Kernel) (*Bell, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("wait for notices: %w", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("wait for notices: %w", err)
	}
	b := &Bell{kernel: k, epoll: epoll, waiter: os.NewFile(uintptr(epoll), "epoll"), tops: map[string]*os.File{}}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = b.waiter.Close()
		return nil, fmt.Errorf("wait for notices: %w", err)
	}
	b.wake = os.NewFile(uintptr(fd), "wake")
	if b.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		_ = b.waiter.Close()
		_ = b.wake.Close()
		return nil, fmt.Errorf("wait for notices: %w", err)
	}
	if err := errors.Join(b.add(fd, tokenWake, unix.EPOLLIN), b.add(b.timer, tokenTimer, unix.EPOLLIN|unix.EPOLLET)); err != nil {
		b.Close()
		return nil, err
	}
	b.files = newFiles(k)
	if b.files != nil && b.add(b.files.fd, tokenFiles, unix.EPOLLIN) != nil {
		b.files.close()
		b.files = nil
	}
	b.pressure = b.trigger()
	return b, nil
}

// Close closes all descriptors but those of the meters.
func (b *Bell) Close() {
	_ = b.waiter.Close()
	_ = b.wake.Close()
	_ = unix.Close(b.timer)
	if b.pressure != nil {
		_ = b.pressure.Close()
	}
	if b.files != nil {
		b.files.close()
	}
	for _, f := range b.tops {
		_ = f.Close()
	}
}

func (b *Bell) add(fd int, token int32, events uint32) error {
	if err := unix.EpollCtl(b.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: token}); err != nil {
		return fmt.Errorf("wait for notices: %w", err)
	}
	return nil
}

// trigger asks to be told when tasks have waited for memory for 50 ms in half a
// second. Without CAP_SYS_RESOURCE, kernels since 6.5 accept only windows of 2 s,
// and older ones none (Documentation/accounting/psi.rst).
func (b *Bell) trigger() *os.File {
	path := filepath.Join(b.kernel.o.Procfs, "pressure/memory")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), path)
	_, err = f.WriteString("some 50000 500000\x00")
	if errors.Is(err, unix.EINVAL) {
		_, err = f.WriteString("some 50000 2000000\x00")
	}
	if err != nil || b.add(fd, tokenPressure, unix.EPOLLPRI) != nil {
		_ = f.Close()
		return nil
	}
	return f
}

// Wake implements guard.Bell.
func (b *Bell) Wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = b.wake.Write(one[:])
}

// Wait implements guard.Bell.
func (b *Bell) Wait(timeout time.Duration) []guard.Notice {
	b.notices = b.notices[:0]
	n, err := b.wait(timeout)
	if err != nil {
		return nil // the time is over, or a signal came first.
	}
	for i := range b.events[:n] {
		b.take(&b.events[i])
	}
	return b.notices
}

// wait waits in the Go runtime's poller, with a timer of the kernel. Blocking in
// epoll_wait itself would make the runtime's monitor check for ten milliseconds,
// each time, whether the call has returned; a Go timer would wake a thread to set
// another's alarm. Both cost more than all the rest of a wake.
func (b *Bell) wait(timeout time.Duration) (n int, err error) {
	if timeout <= 0 {
		return pollNow(b.epoll, b.events[:])
	}
	after := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(timeout))}
	if err := setTimer(b.timer, &after); err != nil {
		return 0, err
	}
	c, err := b.waiter.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errno error
	err = c.Read(func(fd uintptr) bool {
		n, errno = pollNow(int(fd), b.events[:])
		return n > 0 || errno != nil
	})
	return n, errors.Join(err, errno)
}

func (b *Bell) take(e *unix.EpollEvent) {
	switch e.Fd {
	case tokenTimer:
	case tokenWake:
		var buf [8]byte
		_, _ = b.wake.Read(buf[:])
	case tokenFiles:
		b.notices = b.files.read(b.notices)
	case tokenPressure:
		b.notices = append(b.notices, guard.Notice{Kind: guard.NoticePressure})
		if e.Events&unix.EPOLLERR != 0 { // the trigger has gone.
			_ = b.pressure.Close()
			b.pressure = nil
		}
	default:
		// The eventfd is edge-triggered, so it need not be read.
		b.notices = append(b.notices, guard.Notice{Kind: guard.NoticeUsage, Token: uint32(e.Fd)})
	}
}

// Watch implements guard.Bell.
func (b *Bell) Watch(id oom.GroupID, token uint32) (guard.Meter, error) {
	d, err := b.kernel.open(id)
	if err != nil {
		return nil, err
	}
	usage, err := d.file(usageFile(b.kernel.Version()), unix.O_RDONLY)
	if err != nil {
		d.close()
		return nil, gone(err)
	}
	if b.files != nil {
		b.files.group(d.path, token)
	}
	d.close()
	return &meter{bell: b, id: id, token: token, usage: usage, fd: int(usage.Fd()), event: -1}, nil
}

// Tops implements guard.Sum. Groups at the top without a usage of their own are
// left out.
func (b *Bell) Tops() map[string]uint64 {
	sums := make(map[string]uint64, len(b.tops))
	var buf [32]byte
	for path, f := range b.tops {
		n, _ := readUsage(int(f.Fd()), buf[:])
		if n == 0 {
			_ = f.Close()
			delete(b.tops, path)
			continue
		}
		if usage, err := parseUsage(buf[:n]); err == nil {
			sums[path] = usage
		}
	}
	return sums
}

// maxTops bounds the groups at the top that are read: in a hierarchy that this
// helps with, they are few.
const maxTops = 64

// openTop keeps the usage of a group at the top open.
func (b *Bell) openTop(id oom.GroupID) {
	if b.tops[id.Path] != nil || len(b.tops) >= maxTops {
		return
	}
	d, err := b.kernel.open(id)
	if err != nil {
		return
	}
	defer d.close()
	if f, err := d.file(usageFile(b.kernel.Version()), unix.O_RDONLY); err == nil {
		b.tops[id.Path] = f
	}
}

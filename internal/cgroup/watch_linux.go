// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A watch on the root directory reports new groups, a watch on a memory.events file
// reports changes of its counters; the kernel raises IN_MODIFY at most every 10 ms.
const (
	watchDir    = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ONLYDIR
	watchEvents = unix.IN_MODIFY
)

// watcher is the one inotify instance of a Watch.
type watcher struct {
	number  uint64 // tells nodes' marks of this watcher from an earlier one's.
	dir     string
	file    *os.File
	options WatchOptions
	wake    chan struct{}

	mu     sync.Mutex
	closed bool
	failed bool // OnError was told.
}

// Watch signals on a channel, which buffers one wake, that counters of some group
// may have changed. A wake is a hint to read /proc/vmstat or call ReadKills. It
// watches memory.events of the root's children only, to which the kernel passes
// on what happens below them, so it needs one inotify instance and a few watches
// on a host of any size. Read, too, makes it watch new children of the root.
// However busy a group at its limit is, wakes are at least MinInterval apart, and
// further where they are of no use.
//
// v1 has nothing to watch without writing to cgroup.event_control, and counters
// that are not passed on (kernels before 5.2, memory_localevents) show nothing
// at the top: there the channel never has a wake, and the caller has to poll.
// It also has to poll after an error, most often because inotify instances ran out.
//
// The channel is closed when ctx ends or the watch breaks down. One Watch at a
// time serves a Hierarchy.
func (h *Hierarchy) Watch(ctx context.Context, opts WatchOptions) (<-chan struct{}, error) {
	opts = opts.withDefaults()
	wake := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watcher != nil {
		return nil, errors.New("watch cgroups: they are being watched already")
	}
	if !h.propagates() {
		context.AfterFunc(ctx, func() { close(wake) })
		return wake, nil
	}
	h.watchers++
	w := &watcher{number: h.watchers, dir: h.place.dir, options: opts, wake: wake}
	if err := w.open(); err != nil {
		return nil, fmt.Errorf("watch cgroups at %s: %w", h.place.dir, err)
	}
	h.watcher = w
	go func() {
		stop := context.AfterFunc(ctx, w.close)
		w.run(ctx)
		stop()
		w.close()
		h.mu.Lock()
		h.watcher = nil
		h.mu.Unlock()
		close(wake)
	}()
	return wake, nil
}

// propagates tells whether counters rise at the top-level groups when something
// happens below them. Where the release does not show it, memory.events.local does.
func (h *Hierarchy) propagates() bool {
	if h.place.version != 2 || h.place.localEvents {
		return false
	}
	if h.scope == scopeTree {
		return true
	}
	entries, _ := os.ReadDir(h.place.dir)
	for _, e := range entries {
		if _, err := os.Stat(h.place.dir + "/" + e.Name() + "/" + v2EventsLocal.String()); err == nil {
			return true
		}
	}
	return false
}

func (w *watcher) open() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("%w (see fs.inotify.max_user_instances)", os.NewSyscallError("inotify_init1", err))
	}
	w.file = os.NewFile(uintptr(fd), "inotify")
	if err := w.add(w.dir, watchDir); err != nil {
		_ = w.file.Close()
		return err
	}
	if err := w.rescan(); err != nil {
		_ = w.file.Close()
		return err
	}
	return nil
}

// add watches a path. Adding one again is harmless: inotify has one watch per file.
func (w *watcher) add(path string, mask uint32) error {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("use inotify: %w", err)
	}
	var addErr error
	err = conn.Control(func(fd uintptr) { _, addErr = unix.InotifyAddWatch(int(fd), path, mask) })
	if err := errors.Join(err, addErr); err != nil {
		return fmt.Errorf("watch %s (see fs.inotify.max_user_watches): %w", path, err)
	}
	return nil
}

// group watches the counters of the top-level group name. Where it has none, its
// memory controller is off, or the group is gone.
func (w *watcher) group(name string) error {
	err := w.add(w.dir+"/"+name+"/"+v2Events.String(), watchEvents)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// rescan watches all groups that the root has now.
func (w *watcher) rescan() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := w.group(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// sync watches those top-level groups of a pass that are not marked as watched. Its
// caller holds the hierarchy's lock.
func (w *watcher) sync(top []*node) {
	for _, n := range top {
		if n.watch == w.number || n.inode == 0 || !n.raw.OwnKills.IsSet() {
			continue
		}
		if err := w.group(n.name[:len(n.name)-1]); err != nil {
			w.fail(err)
			return
		}
		n.watch = w.number
	}
}

// fail tells OnError once, unless the watch is just ending.
func (w *watcher) fail(err error) {
	w.mu.Lock()
	told := w.failed || w.closed
	w.failed = true
	w.mu.Unlock()
	if !told {
		w.options.OnError(fmt.Errorf("watch new cgroups: %w", err))
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	_ = w.file.Close()
}

// run reads events until the file is closed. It reads at most once in an
// interval: what comes meanwhile waits in the kernel, which merges it.
func (w *watcher) run(ctx context.Context) {
	buf := make([]byte, 64<<10)
	pause := time.NewTimer(0)
	defer pause.Stop()
	var interval time.Duration
	var last time.Time // of the last wake.
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		n, err := w.file.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				w.fail(err)
			}
			return
		}
		w.handle(buf[:n])
		select {
		case w.wake <- struct{}{}:
		default: // a wake is waiting already.
		}
		interval = w.options.after(interval, time.Since(last))
		last = time.Now()
		pause.Reset(interval)
	}
}

// after returns the least time to the next wake, given the least and the actual
// time between the last two.
func (o WatchOptions) after(interval, was time.Duration) time.Duration {
	if o.Useful() || was > 2*o.MaxInterval {
		return o.MinInterval
	}
	return min(max(2*interval, o.MinInterval), o.MaxInterval)
}

// handle watches new groups. After an overflow of the queue it looks at all groups,
// since the kernel no longer says which are new.
func (w *watcher) handle(b []byte) {
	names, overflow := parseInotify(b)
	if overflow {
		if err := w.rescan(); err != nil {
			w.fail(err)
		}
		return
	}
	for _, name := range names {
		if err := w.group(name); err != nil {
			w.fail(err)
			return
		}
	}
}

// parseInotify returns the names of new directories in a buffer of struct
// inotify_event, and whether the kernel's queue overflowed.
func parseInotify(b []byte) (names []string, overflow bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		length := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if length < 0 || length > len(b) {
			return names, overflow
		}
		name, _, _ := bytes.Cut(b[:length], []byte{0})
		b = b[length:]
		overflow = overflow || mask&unix.IN_Q_OVERFLOW != 0
		if mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 && mask&unix.IN_ISDIR != 0 && len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names, overflow
}

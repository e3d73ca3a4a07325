// SPDX-License-Identifier: Apache-2.0

// Package tracefs watches the kernel's event oom:mark_victim and looks up at once
// which memory cgroup the victim is in, so that kills in cgroups that live for
// milliseconds get a name. It makes a trace instance of its own, which leaves
// all other tracing alone, and removes it in the end. Only root may do that.
package tracefs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// Victim is a process that the kernel is killing.
type Victim struct {
	PID  int    // as the kernel log has it; it may be a thread's id.
	Comm string // unescaped, maybe not UTF-8; empty where the kernel does not tell.
	// Path is the memory cgroup that it was found in, from the root of the
	// hierarchy; empty where it was too late to look.
	Path string
	Time time.Time
}

// Options say where to look.
type Options struct {
	Root string // where tracefs is mounted, such as /sys/kernel/tracing.
	Proc string // where the host's /proc is mounted.
	// Unified says that memory is on cgroup v2.
	Unified bool
	// Namespace is the path of the cgroup that our own cgroup namespace has
	// as its root; empty or / where we have none of our own.
	Namespace string
	// Started, if set, is called when the event has been enabled.
	Started func()
	// Lost, if set, is called when events were lost.
	Lost func(n uint64)

	now func() time.Time
}

const (
	event    = "events/oom/mark_victim"
	instance = "oom_exporter-" // and our pid.
	// bufferKB is the trace buffer of one CPU: some 300 events.
	bufferKB = "64"
	// queue is how many victims may wait for seen.
	queue = 1024
	// readBytes is more than the page that a read of trace_pipe returns.
	readBytes = 64 << 10
)

var errEnded = errors.New("the trace has ended")

// Run calls seen for each victim until ctx is done, whose error it returns.
func Run(ctx context.Context, o Options, seen func(Victim)) error {
	if o.now == nil {
		o.now = time.Now
	}
	dir, layout, err := o.open()
	if err != nil {
		return err
	}
	defer os.Remove(dir) // tracefs removes what is in it.
	defer func() { _ = write(dir, event+"/enable", "0") }()
	trace, err := openPipe(filepath.Join(dir, "trace_pipe"))
	if err != nil {
		return fmt.Errorf("open the trace: %w", err)
	}
	defer trace.Close()
	if err := write(dir, event+"/enable", "1"); err != nil {
		return fmt.Errorf("enable oom:mark_victim: %w", err)
	}
	if o.Started != nil {
		o.Started()
	}
	stop := context.AfterFunc(ctx, trace.Stop)
	defer stop()
	found := make(chan Victim, queue)
	go func() {
		defer close(found)
		hurry()
		err = o.follow(trace, layout, func(v Victim) { found <- v })
	}()
	for v := range found {
		seen(v)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("read the trace: %w", err)
}

// open makes the instance and reads how the event is written.
func (o *Options) open() (dir string, l layout, err error) {
	b, err := os.ReadFile(filepath.Join(o.Root, event, "format"))
	if err != nil {
		return "", l, fmt.Errorf("read the format of oom:mark_victim: %w", err)
	}
	if l, err = parseFormat(b); err != nil {
		return "", l, err
	}
	o.sweep()
	dir = filepath.Join(o.Root, "instances", instance+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", l, fmt.Errorf("make a trace instance: %w", err)
	}
	_ = write(dir, "buffer_size_kb", bufferKB) // else the default, which is larger.
	_ = write(dir, "buffer_percent", "0")      // wake us at the first event.
	return dir, l, nil
}

// sweep removes the instances of exporters that were killed.
func (o *Options) sweep() {
	list, err := os.ReadDir(filepath.Join(o.Root, "instances"))
	if err != nil {
		return
	}
	for _, e := range list {
		pid, ok := strings.CutPrefix(e.Name(), instance)
		if _, err := strconv.ParseUint(pid, 10, 31); !ok || err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(o.Proc, pid)); errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(filepath.Join(o.Root, "instances", e.Name()))
		}
	}
}

// follow reads the trace until it can't be read any more.
func (o *Options) follow(trace io.Reader, l layout, seen func(Victim)) error {
	buf := make([]byte, 0, readBytes)
	for {
		n, err := trace.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		victims, lost, rest := l.parse(buf)
		for i := range victims { // all before the first call of seen: they are dying.
			victims[i].Path = o.group(victims[i].PID)
			victims[i].Time = o.now()
		}
		for _, v := range victims {
			seen(v)
		}
		if lost > 0 && o.Lost != nil {
			o.Lost(lost)
		}
		if len(rest) == cap(buf) { // no event is that long.
			rest = nil
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
		switch {
		case errors.Is(err, io.EOF):
			return errEnded
		case err != nil:
			return err
		}
	}
}

// group returns the memory cgroup of the process; empty if it can't be told.
func (o *Options) group(pid int) string {
	fs, err := procfs.NewFS(o.Proc)
	if err != nil {
		return ""
	}
	p, err := fs.Proc(pid)
	if err != nil {
		return ""
	}
	of, err := p.Cgroups()
	if err != nil {
		return ""
	}
	return pathIn(of, o.Unified, o.Namespace)
}

func write(dir, file, text string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(text), 0)
}

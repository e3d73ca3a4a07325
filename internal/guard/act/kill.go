// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// runtimeTime is how long the runtime has to end a container before the
// kernel's own way is taken.
const runtimeTime = 500 * time.Millisecond

// Process implements guard.Killer. The descriptor is opened first: whatever is
// found out after that is about the process that it stands for.
func (k *Kernel) Process(group oom.GroupID, p oom.Process, still func() error) error {
	fd, err := unix.PidfdOpen(int(p.PID), 0)
	if err != nil {
		return gone(fmt.Errorf("open pidfd of process %d: %w", p.PID, err))
	}
	defer func() { _ = unix.Close(fd) }()
	if err := k.same(group, p); err != nil {
		return err
	}
	if err := still(); err != nil {
		return err
	}
	return kill(fd, p.PID)
}

// same makes sure that a process is the one that was chosen, and in its group.
func (k *Kernel) same(group oom.GroupID, p oom.Process) error {
	now := oom.Process{PID: p.PID, Start: p.Start}
	if err := k.proc.Exact(&now); err != nil {
		return gone(err)
	}
	in, err := k.has(group, p.PID)
	if err != nil {
		return err
	}
	if !in {
		return fmt.Errorf("process %d left its group: %w", p.PID, guard.ErrGone)
	}
	return nil
}

func kill(fd int, pid int32) error {
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return gone(fmt.Errorf("kill process %d: %w", pid, err))
	}
	return nil
}

// Container implements guard.Killer.
func (k *Kernel) Container(ctx context.Context, group oom.GroupID, id oom.Identity, spare func(*oom.Process) string, still func() error) error {
	if err := k.spared(group, spare); err != nil {
		return err
	}
	if err := still(); err != nil {
		return err
	}
	if k.o.Runtime != nil && id.ContainerID != "" {
		short, cancel := context.WithTimeout(ctx, runtimeTime)
		err := k.o.Runtime.Stop(short, id.ContainerID)
		cancel()
		if err == nil {
			return nil
		}
		// The runtime is slow or gone: look again, and do without it.
		if err := still(); err != nil {
			return err
		}
		if err := k.spared(group, spare); err != nil {
			return err
		}
	}
	if k.Version() == 2 {
		err := k.killGroup(group)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return k.killEach(ctx, group, spare)
}

// spared looks for processes that must not be killed.
func (k *Kernel) spared(group oom.GroupID, spare func(*oom.Process) string) error {
	m, err := k.Members(&oom.Group{GroupID: group})
	if err != nil {
		return err
	}
	for i := range m.Procs {
		if reason := spare(&m.Procs[i]); reason != "" {
			return fmt.Errorf("%w: %s", guard.ErrSpared, reason)
		}
	}
	return nil
}

// killGroup has the kernel kill all of a group at once (v2, 5.14).
func (k *Kernel) killGroup(group oom.GroupID) error {
	d, err := k.open(group)
	if err != nil {
		return err
	}
	defer d.close()
	err = d.write("cgroup.kill", "1")
	if errors.Is(err, fs.ErrNotExist) {
		return errors.ErrUnsupported
	}
	return gone(err)
}

// killEach kills the processes one by one, and those that they have become
// meanwhile, until the group is empty.
func (k *Kernel) killEach(ctx context.Context, group oom.GroupID, spare func(*oom.Process) string) error {
	wait := time.NewTicker(5 * time.Millisecond)
	defer wait.Stop()
	killed := 0
	for {
		m, err := k.Members(&oom.Group{GroupID: group})
		if errors.Is(err, guard.ErrGone) {
			return nil // removed by its runtime, since nobody was left.
		}
		if err != nil {
			return err
		}
		if len(m.Procs) == 0 {
			return nil
		}
		for _, p := range m.Procs {
			if m.Dying[p.PID] {
				continue
			}
			if reason := spare(&p); reason != "" {
				return fmt.Errorf("%w: %s", guard.ErrSpared, reason)
			}
			err := k.Process(m.Tree.Groups[p.Group].GroupID, p, func() error { return nil })
			if err != nil && !errors.Is(err, guard.ErrGone) {
				return err
			}
			killed++
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			return fmt.Errorf("group %s is not empty after %d kills: %w", group.Path, killed, ctx.Err())
		}
	}
}

// Reclaim implements guard.Reclaimer. On v1 the kernel frees all that it can,
// whatever the number.
func (k *Kernel) Reclaim(id oom.GroupID, bytes uint64) error {
	d, err := k.open(id)
	if err != nil {
		return err
	}
	defer d.close()
	if k.Version() == 1 {
		err = d.write("memory.force_empty", "0")
	} else {
		err = d.write("memory.reclaim", fmt.Sprint(bytes))
	}
	switch {
	case errors.Is(err, unix.EAGAIN): // less than asked for: that is told by the usage.
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errors.ErrUnsupported
	}
	return gone(err)
}

// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// runtimeTime is how long the runtime has to end a container before it is
	// killed without the runtime.
	runtimeTime = 500 * time.Millisecond
	// batch bounds the descriptors that are open while a group is ended.
	batch = 256
	// worthReaping is the least resident size of a killed process at which the
	// kernel is asked to free its memory at once.
	worthReaping = 8 << 20
)

// Process implements guard.Killer. The descriptors are opened first: whatever is
// found out after that is about the processes that they stand for.
func (k *Kernel) Process(victims []guard.Victim, still func() error) (killed int, err error) {
	held, err := k.hold(victims)
	defer release(held)
	if err != nil {
		return 0, err
	}
	if len(held) < len(victims) {
		return 0, fmt.Errorf("process %d or one that shares its memory: %w", victims[0].PID, guard.ErrGone)
	}
	if err := still(); err != nil {
		return 0, err
	}
	return k.killAll(context.Background(), held)
}

// hold opens those processes that are still the chosen ones and still in their
// groups. Each group is read once.
func (k *Kernel) hold(victims []guard.Victim) ([]held, error) {
	var all []held
	for _, v := range victims {
		h, err := k.grab(v)
		if errors.Is(err, guard.ErrGone) {
			continue
		}
		if err != nil {
			release(all)
			return nil, err
		}
		all = append(all, h)
	}
	in := map[oom.GroupID]map[int32]bool{}
	kept := all[:0]
	for _, h := range all {
		if h.Cgroup.Path != "" && in[h.Cgroup] == nil {
			in[h.Cgroup] = map[int32]bool{}
			pids, _ := k.pids(h.Cgroup) // if unreadable, nobody in it is killed.
			for _, pid := range pids {
				in[h.Cgroup][pid] = true
			}
		}
		if h.Cgroup.Path != "" && !in[h.Cgroup][h.PID] {
			h.close()
			continue
		}
		kept = append(kept, h)
	}
	return kept, nil
}

// killAll sends SIGKILL to all of them, unless the switch is thrown or ctx ends,
// and has the kernel free the memory of the large ones.
func (k *Kernel) killAll(ctx context.Context, all []held) (killed int, err error) {
	for _, h := range all {
		switch {
		case ctx.Err() != nil:
			return killed, fmt.Errorf("after %d kills: %w", killed, ctx.Err())
		case k.Off():
			return killed, guard.ErrSwitched
		}
		if err := k.signal(h, unix.SIGKILL); err != nil {
			if errors.Is(err, guard.ErrGone) {
				continue
			}
			return killed, err
		}
		killed++
	}
	for _, h := range all {
		if h.RSS >= worthReaping {
			h.reap()
		}
	}
	if killed == 0 {
		return 0, fmt.Errorf("all of them: %w", guard.ErrGone)
	}
	return killed, nil
}

// Container implements guard.Killer.
func (k *Kernel) Container(ctx context.Context, e guard.Ending) (killed int, err error) {
	m, err := k.spared(e)
	if err != nil {
		return 0, err
	}
	byRuntime := k.confirmed(ctx, &e, m) // it may take a while.
	if err := e.Still(); err != nil {
		return 0, err
	}
	if byRuntime {
		short, cancel := context.WithTimeout(ctx, runtimeTime)
		err := k.o.Runtime.Stop(short, e.Identity.ContainerID)
		cancel()
		left, lookErr := k.spared(e)
		if errors.Is(lookErr, guard.ErrGone) || lookErr == nil && len(left.Procs) == 0 {
			return len(m.Procs), nil
		}
		// The runtime is slow or gone, or has left some: look again, and do without it.
		killed = max(0, len(m.Procs)-len(left.Procs))
		if lookErr != nil {
			return killed, errors.Join(lookErr, err)
		}
		if err := e.Still(); err != nil {
			return killed, err
		}
		m = left
	}
	if k.Version() == 2 {
		err := k.killGroup(e.Cgroup)
		if err == nil {
			return killed + len(m.Procs), nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return killed, err
		}
		defer k.freeze(e.Cgroup)()
	}
	n, err := k.killEach(ctx, e)
	return killed + n, err
}

// confirmed tells whether the runtime may be asked to end a container: its group
// is where kubelet makes them, and the runtime says that this container's first
// process is in it. A name alone proves nothing: whoever may make groups may give
// one the name of another's.
func (k *Kernel) confirmed(ctx context.Context, e *guard.Ending, m *guard.Members) bool {
	uid, id, ok := kubeContainer(k.o.KubeRoot, e.Cgroup.Path)
	if k.o.Runtime == nil || !ok || id != e.Identity.ContainerID || uid != e.Identity.PodUID {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, runtimeTime)
	defer cancel()
	pid, of, err := k.o.Runtime.Main(ctx, id)
	return err == nil && of == uid && slices.ContainsFunc(m.Procs, func(p oom.Process) bool { return p.PID == pid })
}

// spared reads the processes of a container, and fails with guard.ErrSpared if one
// of them must not be killed.
func (k *Kernel) spared(e guard.Ending) (*guard.Members, error) {
	m, err := k.Members(&oom.Group{GroupID: e.Cgroup})
	if err != nil {
		return nil, err
	}
	for i := range m.Procs {
		if reason := e.Spare(&m.Procs[i]); reason != "" {
			return nil, fmt.Errorf("%w: %s", guard.ErrSpared, reason)
		}
	}
	return &m, nil
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

// freeze stops all of a group, where the kernel can (v2, 5.2), so that it can't
// fork faster than it is killed; a process with a SIGKILL dies all the same. thaw
// lets the rest go on, unless somebody else had frozen the group.
func (k *Kernel) freeze(group oom.GroupID) (thaw func()) {
	d, err := k.open(group)
	if err != nil {
		return func() {}
	}
	was, err := d.read("cgroup.freeze")
	if err != nil || strings.TrimSpace(string(was)) != "0" || d.write("cgroup.freeze", "1") != nil {
		d.close()
		return func() {}
	}
	return func() {
		_ = d.write("cgroup.freeze", "0")
		d.close()
	}
}

// killEach kills the processes in batches, and those that came meanwhile, until
// the group is empty.
func (k *Kernel) killEach(ctx context.Context, e guard.Ending) (killed int, err error) {
	wait := time.NewTicker(5 * time.Millisecond)
	defer wait.Stop()
	for {
		m, err := k.spared(e)
		if errors.Is(err, guard.ErrGone) || err == nil && len(m.Procs) == 0 {
			return killed, nil // empty, or removed by its runtime when it was.
		}
		if err != nil {
			return killed, err
		}
		for some := range slices.Chunk(alive(m), batch) {
			held, err := k.hold(some)
			if err != nil {
				return killed, err
			}
			n, err := k.killAll(ctx, held)
			release(held)
			killed += n
			if err != nil && !errors.Is(err, guard.ErrGone) {
				return killed, err
			}
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			return killed, fmt.Errorf("group %s is not empty after %d kills: %w", e.Cgroup.Path, killed, ctx.Err())
		}
	}
}

// alive are the processes that have no SIGKILL yet.
func alive(m *guard.Members) []guard.Victim {
	var all []guard.Victim
	for i := range m.Procs {
		if p := &m.Procs[i]; !m.Dying[p.PID] {
			all = append(all, guard.Victim{Process: *p, Cgroup: m.Tree.Groups[p.Group].GroupID})
		}
	}
	return all
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
	case errors.Is(err, unix.EAGAIN): // less than asked for, as the usage will show.
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errors.ErrUnsupported
	}
	return gone(err)
}

// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Sharers implements guard.Kernel. Processes that share their memory have the
// same size: of the processes in the cgroup, and the victim's parent and children
// wherever they are, those of equal size are compared by the kernel (kcmp). Where
// it refuses, for lack of CAP_SYS_PTRACE or of the call, Sharers finds none.
func (k *Kernel) Sharers(m *guard.Members, i int) ([]guard.Victim, error) {
	p := &m.Procs[i]
	own, err := k.stat(p.PID)
	if err != nil {
		return nil, gone(err)
	}
	var sharers []guard.Victim
	in := map[int32]oom.GroupID{}
	for at := range m.Procs {
		in[m.Procs[at].PID] = m.Tree.Groups[m.Procs[at].Group].GroupID
	}
	seen := map[int32]bool{p.PID: true}
	add := func(pid int32) {
		if seen[pid] || pid <= 0 {
			return
		}
		seen[pid] = true
		other, err := k.stat(pid)
		if err != nil || other.vsize != own.vsize || !sameMemory(p.PID, pid) {
			return
		}
		v := guard.Victim{Process: oom.Process{PID: pid, Start: other.start, Comm: other.comm}, Cgroup: in[pid]}
		if _, err := k.glance(&v.Process); err == nil {
			sharers = append(sharers, v)
		}
	}
	for at := range m.Procs {
		if other := &m.Procs[at]; near(other.RSS, p.RSS) {
			add(other.PID)
		}
	}
	add(own.parent)
	for _, child := range k.children(p.PID) {
		add(child)
	}
	return sharers, nil
}

// near tells whether two sizes may be those of the same memory, read one after
// the other.
func near(a, b uint64) bool { return max(a, b)-min(a, b) <= max(a, b)/4+1<<20 }

func (k *Kernel) stat(pid int32) (stat, error) {
	b, err := os.ReadFile(filepath.Join(k.o.Procfs, strconv.Itoa(int(pid)), "stat"))
	if err != nil {
		return stat{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return parseStat(b)
}

// children returns the children of a process's first thread.
func (k *Kernel) children(pid int32) []int32 {
	b, err := os.ReadFile(filepath.Join(k.o.Procfs, strconv.Itoa(int(pid)), "task", strconv.Itoa(int(pid)), "children"))
	if err != nil {
		return nil // the kernel has no such file.
	}
	return parsePIDs(b)
}

// sameMemory asks the kernel whether two processes have one address space.
func sameMemory(a, b int32) bool {
	const kcmpVM = 1
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), kcmpVM, 0, 0, 0)
	return errno == 0 && r == 0
}

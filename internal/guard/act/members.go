// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// maxDepth bounds how deep groups below a watched one are looked into.
const maxDepth = 32

// errTooMany says that a group has more processes than may be looked at.
var errTooMany = errors.New("too many processes to look at")

// Members implements guard.Kernel.
func (k *Kernel) Members(group *oom.Group) (guard.Members, error) {
	m := guard.Members{Dying: map[int32]bool{}}
	m.Tree.Version = k.Version()
	m.Tree.Groups = []oom.Group{{GroupID: oom.GroupID{Path: "/"}, Parent: -1}, *group}
	m.Tree.Groups[1].Parent = 0
	if err := k.members(&m, 1, 0); err != nil {
		return guard.Members{}, err
	}
	return m, nil
}

// members reads the processes of group at, and the groups below it.
func (k *Kernel) members(m *guard.Members, at, depth int) error {
	id := m.Tree.Groups[at].GroupID
	pids, err := k.pids(id)
	if err != nil {
		if at == 1 {
			return err
		}
		return nil // gone in between.
	}
	for _, pid := range pids {
		if len(m.Procs) >= k.o.MaxProcesses {
			return fmt.Errorf("group %s: %w", m.Tree.Groups[1].Path, errTooMany)
		}
		p := oom.Process{PID: pid, Group: int32(at)}
		dying, err := k.process(&p)
		if err != nil {
			continue // gone, or without memory: nothing to kill.
		}
		m.Procs = append(m.Procs, p)
		if dying {
			m.Dying[pid] = true
		}
	}
	if depth >= maxDepth {
		return fmt.Errorf("group %s: %w", id.Path, errTooMany)
	}
	dir := filepath.Join(k.scanned.Mount(), filepath.FromSlash(id.Path))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // a group that has just gone holds nobody.
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		child, ok := k.child(filepath.Join(dir, e.Name()), strings.TrimSuffix(id.Path, "/")+"/"+e.Name(), at)
		if !ok {
			continue
		}
		m.Tree.Groups = append(m.Tree.Groups, child)
		if err := k.members(m, len(m.Tree.Groups)-1, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// child reads what the choice of a victim needs of a group below: who it is,
// and whether it dies as a whole.
func (k *Kernel) child(dir, path string, parent int) (oom.Group, bool) {
	info, err := os.Stat(dir)
	if err != nil {
		return oom.Group{}, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return oom.Group{}, false
	}
	g := oom.Group{GroupID: oom.GroupID{Path: path, Inode: st.Ino}, Parent: parent, Hierarchical: true}
	if k.Version() == 2 {
		b, err := os.ReadFile(filepath.Join(dir, "memory.oom.group"))
		g.OOMGroup = err == nil && string(bytes.TrimSpace(b)) == "1"
	}
	return g, true
}

// pids reads the processes in a group, those below it not included.
func (k *Kernel) pids(id oom.GroupID) ([]int32, error) {
	d, err := k.open(id)
	if err != nil {
		return nil, err
	}
	defer d.close()
	b, err := d.read("cgroup.procs")
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP): // a threaded group: its processes are its parent's.
		return nil, nil
	case err != nil:
		return nil, gone(err)
	}
	return parsePIDs(b), nil
}

// parsePIDs reads a cgroup.procs file. Processes of another pid namespace are
// zeros, and left out.
func parsePIDs(b []byte) []int32 {
	var pids []int32
	for word := range bytes.FieldsSeq(b) {
		if n, err := strconv.ParseInt(string(word), 10, 32); err == nil && n > 0 {
			pids = append(pids, int32(n))
		}
	}
	return pids
}

// process fills in a process, and tells whether it has a SIGKILL already. All
// but the last is about the one process whose start Exact finds, and so is the
// kill: should the pid be used again in between, nobody dies.
func (k *Kernel) process(p *oom.Process) (dying bool, err error) {
	p.Stale = true // or Exact would leave Adj alone.
	if err := k.proc.Exact(p); err != nil {
		return false, err
	}
	b, err := os.ReadFile(filepath.Join(k.o.Procfs, strconv.Itoa(int(p.PID)), "status"))
	if err != nil {
		return false, err
	}
	return parseDying(b), nil
}

// parseDying tells from /proc/PID/status whether a SIGKILL is on its way.
func parseDying(status []byte) bool {
	const sigkill = 1 << (9 - 1)
	for line := range bytes.Lines(status) {
		for _, key := range []string{"SigPnd:", "ShdPnd:"} {
			value, ok := bytes.CutPrefix(line, []byte(key))
			if !ok {
				continue
			}
			mask, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
			if err == nil && mask&sigkill != 0 {
				return true
			}
		}
	}
	return false
}

// has tells whether a process is in this very group.
func (k *Kernel) has(id oom.GroupID, pid int32) (bool, error) {
	pids, err := k.pids(id)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if slices.Contains(pids, pid) {
		return true, nil
	}
	return false, err
}

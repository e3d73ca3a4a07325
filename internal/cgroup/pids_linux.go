// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// readPIDs reads the process ids of the cgroup open at dir into n. Snapshots share
// the old slice, so changed ids go into a new one.
func (h *Hierarchy) readPIDs(dir int, n *node) unix.Errno {
	pids, errno := readPIDs(dir, h.pids[:0], h.buf)
	h.pids = pids[:0]
	k := &n.kept
	if !slices.Equal(pids, k.pids) {
		k.pids = slices.Clone(pids)
	}
	k.processes = len(pids) > 0
	return errno
}

// ReadPIDs reads the process ids of the tree's unchanged cgroups (Group.Unchanged),
// which its pass left out. Callers need it when they find a process that no cgroup
// lists. Cgroups that are gone keep their ids.
func (h *Hierarchy) ReadPIDs(tree *oom.Tree) {
	h.mu.Lock()
	defer h.mu.Unlock()
	root, err := unix.Open(h.place.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(root) }()
	for i := range tree.Groups {
		g := &tree.Groups[i]
		n := h.find(i, g)
		if !g.Unchanged || n == nil {
			continue
		}
		fd, errno := openat(root, "."+g.Path+"\x00", openDirFlags)
		if errno != 0 {
			continue
		}
		if h.readPIDs(fd, n) == 0 {
			g.PIDs = n.kept.pids
		}
		_ = unix.Close(fd)
	}
}

// find returns the node of group i of the last pass, nil if the tree is older.
func (h *Hierarchy) find(i int, g *oom.Group) *node {
	if i >= len(h.rows) || h.rows[i].inode != g.Inode || h.rows[i].path != g.Path {
		return nil
	}
	return h.rows[i]
}

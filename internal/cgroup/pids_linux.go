// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// readPIDs brings n's process ids up to date with the group that is open at dir.
// What snapshots were given stays as it is: other ids get memory of their own.
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

// ReadPIDs brings the process ids of those groups up to date that the pass found
// at rest; it is for who meets a process that no group has. Groups that are gone
// keep theirs.
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
		if !g.AtRest || n == nil {
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

// find returns the node of a group of the last pass, nil where it has another
// by now.
func (h *Hierarchy) find(i int, g *oom.Group) *node {
	if i >= len(h.rows) || h.rows[i].inode != g.Inode || h.rows[i].path != g.Path {
		return nil
	}
	return h.rows[i]
}

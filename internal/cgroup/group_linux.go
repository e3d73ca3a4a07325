// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// ReadGroup reads the one group at path, which is as in oom.GroupID. Parent and
// Owner are -1: there is no tree. The error is fs.ErrNotExist where there is no
// such group, and fs.ErrPermission where its usage can't be read.
func (h *Hierarchy) ReadGroup(path string) (oom.Group, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g, err := h.readGroup(path)
	if err != nil {
		return oom.Group{}, &fs.PathError{Op: "read cgroup", Path: path, Err: err}
	}
	return g, nil
}

func (h *Hierarchy) readGroup(path string) (oom.Group, error) {
	p, err := h.begin(false)
	if err != nil {
		return oom.Group{}, err
	}
	defer p.end()
	// A separate root node keeps this read out of what passes remember.
	n, up := newRoot(), level{fd: p.rootFD, cpuset: -1, index: -1}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		if name == "." || name == ".." || strings.IndexByte(name, 0) >= 0 {
			return oom.Group{}, fs.ErrInvalid
		}
		fd, errno := openat(up.fd, n.name, openDirFlags)
		if errno != 0 {
			return oom.Group{}, errno
		}
		defer func() { _ = unix.Close(fd) }()
		if h.place.version == 1 {
			p.setCurrent(n, fd)
			up.hierarchical = p.hierarchicalV1(up)
		}
		n, up.fd, up.index = n.child([]byte(name+"\x00")), fd, 0
	}
	return p.readSingle(n, up)
}

// readSingle reads n, and the counters of its children if n's include them.
func (p *pass) readSingle(n *node, up level) (oom.Group, error) {
	fd, errno := openat(up.fd, n.name, openDirFlags)
	if errno != 0 {
		return oom.Group{}, errno
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return oom.Group{}, fmt.Errorf("stat: %w", err)
	}
	n.markSeen(p.h.pass, st.Ino)
	n.noteDir(&st)
	p.setCurrent(n, fd)
	index, down, ok := p.readCgroup(up, uint64(st.Nlink))
	switch {
	case p.fatal != 0:
		return oom.Group{}, p.fatalErr()
	case !ok:
		return oom.Group{}, fs.ErrNotExist
	case p.denied && !p.tree.Groups[index].Usage.IsSet():
		return oom.Group{}, fs.ErrPermission
	}
	if n.withChildren {
		if _, err := p.h.lister.list(n, fd, p.h.options.MaxGroups); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return oom.Group{}, fmt.Errorf("list children: %w", err)
		}
		p.kills = true
		for _, c := range n.children {
			p.readCounters(c, down)
		}
	}
	p.subtractChildren(n, fd, index)
	g := p.tree.Groups[index]
	g.Parent, g.Owner = -1, -1
	return g, nil
}

// readCounters reads the counters of a child, not of its descendants.
func (p *pass) readCounters(c *node, up level) {
	fd, errno := openat(up.fd, c.name, openDirFlags)
	if errno != 0 {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return
	}
	c.markSeen(p.h.pass, st.Ino)
	c.noteDir(&st)
	p.setCurrent(c, fd)
	p.readCgroup(up, uint64(st.Nlink))
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// group reads the group n and what is below it. gone says that there is no such
// directory any more; the error ends the pass.
func (p *pass) group(n *node, up level) (gone bool, err error) {
	if len(p.tree.Groups) >= p.h.options.MaxGroups || up.depth > maxDepth {
		p.countOver(up.fd, n.name)
		return false, nil
	}
	if p.kills {
		if done, err := p.byHeld(n, up); done {
			return false, err
		}
	}
	fd, stays, errno := p.open(n, up.fd)
	if errno != 0 {
		return p.unopened(n, up, errno)
	}
	defer func() {
		if !stays {
			_ = unix.Close(fd)
		}
	}()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, &fs.PathError{Op: "stat", Path: n.path, Err: err}
	}
	known := n.inode == st.Ino
	n.met(p.h.pass, st.Ino)
	n.uid = makerOf(&st)
	p.enter(n, fd)
	if p.kills && p.unchanged() {
		p.repeat(n, up.index)
		return false, nil
	}
	index, down, ok := p.row(up, &st)
	if down.cpuset >= 0 {
		defer func() { _ = unix.Close(down.cpuset) }()
	}
	if !ok {
		n.gone()
		p.skipped.VanishedGroups++
		return false, nil
	}
	p.hold(n, fd)
	stays = stays || p.keepOpen(n, fd, known)
	if err := p.children(n, down, uint64(st.Nlink)); err != nil {
		return false, err
	}
	p.settle(n, fd, index)
	return false, p.fatalErr()
}

// unopened says what a directory that could not be opened means.
func (p *pass) unopened(n *node, up level, errno unix.Errno) (gone bool, err error) {
	switch {
	case errno == unix.EMFILE || errno == unix.ENFILE || errno == unix.ENOMEM:
		p.fatal = errno
		return false, p.fatalErr()
	case up.index < 0:
		return false, errno
	case errno == unix.ENOENT || errno == unix.ENODEV || errno == unix.ENOTDIR:
		n.gone()
		return true, nil
	}
	p.skipped.UnreadableGroups++
	return false, nil
}

// makerOf returns who may make groups in a directory.
func makerOf(st *unix.Stat_t) uint32 {
	if st.Mode&unix.S_IWOTH != 0 || st.Mode&unix.S_IWGRP != 0 && st.Gid != 0 {
		return oom.Anybody
	}
	return st.Uid
}

// row appends what the files of the current group say. It is false where the
// group vanished meanwhile.
func (p *pass) row(up level, st *unix.Stat_t) (int, level, bool) {
	p.plan(uint64(st.Nlink))
	index := len(p.tree.Groups)
	p.tree.Groups = append(p.tree.Groups, oom.Group{
		GroupID: oom.GroupID{Path: p.node.path, Inode: st.Ino},
		Parent:  up.index,
		Owner:   index,
		UID:     makerOf(st),
	})
	g := &p.tree.Groups[index]
	if !p.kills {
		p.rows = append(p.rows[:index], p.node)
	}
	down := level{fd: p.fd, cpuset: -1, index: index, depth: up.depth + 1}
	switch {
	case p.kills:
		p.readKills(g, up)
	case p.h.place.version == 1:
		p.readV1(g, up)
		p.readParts(g, up, &down, st)
	default:
		p.readV2(g)
		p.readParts(g, up, &down, st)
	}
	down.hierarchical, down.mems = g.Hierarchical, g.Mems
	if p.missing != 0 && up.index >= 0 {
		if !p.stillThere(up.fd) {
			p.tree.Groups = p.tree.Groups[:index]
			return 0, down, false
		}
		p.learn()
	}
	if p.denied {
		p.skipped.UnreadableGroups++
	}
	p.node.kept.known = p.node.kept.known || !p.kills && !p.denied
	return index, down, true
}

// children reads the groups below n. The number of links to a cgroup directory
// is two and one for each child. While it agrees with the children known from
// the last pass and all of those are still there, they are the same, and the
// directory need not be listed. File systems that don't count links so say 1.
func (p *pass) children(n *node, down level, links uint64) error {
	if links == 2 {
		n.children, n.complete = nil, true
		return nil
	}
	if links-2 != uint64(len(n.children)) {
		return p.listed(n, down)
	}
	allThere := true
	for _, c := range n.children {
		gone, err := p.group(c, down)
		if err != nil {
			return err
		}
		allThere = allThere && !gone
	}
	if !allThere {
		return p.listed(n, down)
	}
	n.complete = true
	return nil
}

// listed lists the directory and reads those children that this pass has not
// met yet.
func (p *pass) listed(n *node, down level) error {
	most := p.h.options.MaxGroups - len(p.tree.Groups)
	for _, c := range n.children {
		if c.pass == p.h.pass {
			most++
		}
	}
	leftOut, err := p.h.lister.list(n, down.fd, max(most, 0))
	if err != nil {
		return p.unlisted(n, err)
	}
	// Names over the bound are counted now: the lister is used again below.
	for i := range leftOut {
		p.countOver(down.fd, p.h.lister.leftOut(i))
	}
	for _, c := range n.children {
		if c.pass == p.h.pass {
			continue
		}
		gone, err := p.group(c, down)
		if err != nil {
			return err
		}
		if gone { // it was there when the directory was listed.
			p.skipped.VanishedGroups++
		}
	}
	n.complete = leftOut == 0
	return nil
}

// unlisted says what a failed listing means.
func (p *pass) unlisted(n *node, err error) error {
	n.children = nil
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV): // removed after its own row was read.
		return nil
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		p.fatal = unix.EMFILE
		return p.fatalErr()
	}
	if !p.denied {
		p.skipped.UnreadableGroups++
	}
	return nil
}

// countOver counts a group that is over the bound, and by its links the children
// that it has, without reading any. Once enough have been opened for that, only
// the group itself counts: the number is a lower bound.
func (p *pass) countOver(dir int, name string) {
	p.skipped.GroupsOverBound++
	if p.effort <= 0 {
		return
	}
	p.effort--
	fd, errno := openat(dir, name, openDirFlags)
	if errno != 0 {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Nlink > 2 {
		p.skipped.GroupsOverBound += uint64(st.Nlink) - 2
	}
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// readSubtree reads the cgroup n and its descendants. gone says that the directory no
// longer exists; an error ends the pass.
func (p *pass) readSubtree(n *node, up level) (gone bool, err error) {
	switch {
	case up.depth > maxDepth:
		p.countOver(up.fd, n.name, &p.skipped.GroupsTooDeep)
		return false, nil
	case len(p.tree.Groups) < p.h.options.MaxGroups:
	case p.chosen: // created after the choice was made.
		p.countOver(up.fd, n.name, &p.skipped.GroupsOverBound)
		return false, nil
	default:
		return false, errCrowded
	}
	if p.isListed(n, up) {
		return p.readListed(n, up)
	}
	if p.kills {
		if done, err := p.readHeld(n, up); done {
			return false, err
		}
	}
	fd, stays, errno := p.openCgroup(n, up.fd)
	if errno != 0 {
		return p.handleOpenError(n, up, errno)
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
	n.markSeen(p.h.pass, st.Ino)
	n.noteDir(&st)
	p.setCurrent(n, fd)
	if p.kills && p.subtreeUnchanged() {
		p.repeatLastPass(n, up.index)
		return false, nil
	}
	index, down, ok := p.readCgroup(up, uint64(st.Nlink))
	if down.cpuset >= 0 {
		defer func() { _ = unix.Close(down.cpuset) }()
	}
	if !ok {
		n.reset()
		p.skipped.VanishedGroups++
		return false, nil
	}
	p.holdOpen(n, fd)
	stays = stays || p.keepOpen(n, fd, known)
	if err := p.readChildren(n, down, uint64(st.Nlink)); err != nil {
		return false, err
	}
	p.subtractChildren(n, fd, index)
	return false, p.fatalErr()
}

// handleOpenError handles a directory that could not be opened.
func (p *pass) handleOpenError(n *node, up level, errno unix.Errno) (gone bool, err error) {
	switch {
	case errno == unix.EMFILE || errno == unix.ENFILE || errno == unix.ENOMEM:
		p.fatal = errno
		return false, p.fatalErr()
	case up.index < 0:
		return false, errno
	case errno == unix.ENOENT || errno == unix.ENODEV || errno == unix.ENOTDIR:
		n.reset()
		return true, nil
	}
	p.skipped.UnreadableGroups++
	return false, nil
}

// makerOf returns the user who may create cgroups in a directory.
func makerOf(st *unix.Stat_t) uint32 {
	if st.Mode&unix.S_IWOTH != 0 || st.Mode&unix.S_IWGRP != 0 && st.Gid != 0 {
		return oom.Anybody
	}
	return st.Uid
}

// readCgroup reads the files of the current cgroup into a new entry of the tree. It is
// false if the cgroup vanished meanwhile.
func (p *pass) readCgroup(up level, links uint64) (int, level, bool) {
	p.planReads(links)
	if p.compares {
		p.compare()
	}
	p.numbers = p.listed(p.node.inode)
	index := len(p.tree.Groups)
	p.tree.Groups = append(p.tree.Groups, oom.Group{
		GroupID: oom.GroupID{Path: p.node.path, Inode: p.node.inode},
		Parent:  up.index,
		Owner:   index,
		UID:     p.node.uid,
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
		p.readParts(g, up, &down)
	default:
		p.readV2(g)
		p.readParts(g, up, &down)
	}
	down.fd = p.fd // it may have been opened meanwhile.
	down.hierarchical, down.mems = g.Hierarchical, g.Mems
	if p.missing != 0 && up.index >= 0 {
		if !p.stillThere(up.fd) {
			p.tree.Groups = p.tree.Groups[:index]
			return 0, down, false
		}
		p.learnAbsentFiles()
	}
	if p.denied {
		p.skipped.UnreadableGroups++
	}
	p.node.kept.known = p.node.kept.known || !p.kills && !p.denied
	return index, down, true
}

// readChildren reads the cgroups below n. A cgroup directory has two links plus one for
// each child. If that matches the children known from the last pass and all of
// those still exist, the directory need not be listed. A file system that does
// not count links in this way reports 1.
func (p *pass) readChildren(n *node, down level, links uint64) error {
	if links == 2 {
		n.children, n.complete, n.left = nil, true, 0
		return nil
	}
	if n.left > 0 {
		return p.readChosenChildren(n, down)
	}
	if links-2 != uint64(len(n.children)) {
		return p.listAndReadChildren(n, down)
	}
	allThere := true
	for _, c := range n.children {
		gone, err := p.readSubtree(c, down)
		if err != nil {
			return err
		}
		allThere = allThere && !gone
	}
	if !allThere {
		return p.listAndReadChildren(n, down)
	}
	n.complete = true
	return nil
}

// readChosenChildren reads the children that were chosen, and counts the others.
func (p *pass) readChosenChildren(n *node, down level) error {
	n.complete = false
	for _, c := range n.children {
		if _, err := p.readSubtree(c, down); err != nil {
			return err
		}
	}
	p.countLeftOut(n, down)
	return nil
}

// countLeftOut counts the children that were not chosen: a full pass by their names,
// ReadKills by the number that the last full pass found.
func (p *pass) countLeftOut(n *node, down level) {
	if p.kills || p.h.lister.read(down.fd) != nil {
		p.skipped.GroupsOverBound += n.left
		return
	}
	over := oom.Crowd{Path: n.path}
	chosen := n.children
	for i := range p.h.lister.names {
		name := p.h.lister.leftOut(i)
		for len(chosen) > 0 && chosen[0].name < name {
			chosen = chosen[1:]
		}
		if len(chosen) == 0 || chosen[0].name != name {
			p.countOver(down.fd, name, &over.LeftOut)
		}
	}
	p.skipped.Add(oom.Skipped{GroupsOverBound: over.LeftOut, Crowd: over})
}

// listAndReadChildren lists the directory and reads the children that this pass has not seen
// yet.
func (p *pass) listAndReadChildren(n *node, down level) error {
	if down.fd < 0 {
		fd, errno := p.openPath(n)
		if errno != 0 {
			return p.handleListError(n, errno)
		}
		defer func() { _ = unix.Close(fd) }()
		down.fd = fd
	}
	most := p.h.options.MaxGroups - len(p.tree.Groups)
	for _, c := range n.children {
		if c.pass == p.h.pass {
			most++
		}
	}
	leftOut, err := p.h.lister.list(n, down.fd, max(most, 0))
	if err != nil {
		return p.handleListError(n, err)
	}
	// Names over the bound are counted now: the lister is used again below.
	if leftOut > 0 && !p.chosen {
		return errCrowded
	}
	for i := range leftOut {
		p.countOver(down.fd, p.h.lister.leftOut(i), &p.skipped.GroupsOverBound)
	}
	for _, c := range n.children {
		if c.pass == p.h.pass {
			continue
		}
		gone, err := p.readSubtree(c, down)
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

// handleListError handles a directory that could not be listed.
func (p *pass) handleListError(n *node, err error) error {
	n.children = nil
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV): // removed after its own row was read.
		return nil
	case isExhausted(err):
		p.fatal = unix.EMFILE
		return p.fatalErr()
	}
	if !p.denied {
		p.skipped.UnreadableGroups++
	}
	return nil
}

// countOver counts a cgroup that is over a bound and, by its number of links, its
// children, without reading any. The number of directories opened for that is
// bounded; beyond it only the cgroup itself counts, so the result is a lower bound.
func (p *pass) countOver(dir int, name string, over *uint64) {
	*over++
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
		*over += uint64(st.Nlink) - 2
	}
}

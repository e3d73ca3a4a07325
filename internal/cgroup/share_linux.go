// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// errCrowded ends a pass that met more cgroups than it may read and has not
// chosen which.
var errCrowded = errors.New("more cgroups than may be read")

// chooser chooses the cgroups of a pass where there are more than may be read.
// What may be read is shared out from the root downwards: the children of a
// cgroup get equal shares, and what one of them does not use goes to the
// others. So a subtree that needs less than its share is read as a whole,
// however many cgroups there are in the one beside it. Where Options.IsWorkload
// is given, cgroups inside workloads have to wait until all others have had their
// share.
type chooser struct {
	p      *pass
	inside bool // it is the turn of the cgroups inside workloads.
}

// quantum is the least share that is given at a time: a few whole pods tell more
// than parts of many.
const quantum = 8

// branch is a cgroup during the choice.
type branch struct {
	n        *node
	entered  bool
	workload bool // what is below belongs to one workload.
	second   bool // it has been prepared for the turn of those inside workloads.
	done     bool // there is nothing left to choose in this turn.
	links    uint64
	names    int       // how many children it has in all; -1: not listed yet.
	children []*branch // those that have been listed.
	active   []*branch // those of them that are not done in this turn.
}

// choose limits the children of the nodes to those that are to be read.
func (p *pass) choose() error {
	c := &chooser{p: p}
	root := &branch{n: p.h.root}
	left := p.h.options.MaxGroups
	for _, c.inside = range []bool{false, true} {
		used, err := c.fill(root, level{fd: p.rootFD}, left)
		if err != nil {
			return err
		}
		left -= used
	}
	p.chosen = true
	p.h.crowded = c.keepChosen(root) > 0
	return nil
}

// fill chooses up to quota cgroups of b's subtree and returns how many it chose.
func (c *chooser) fill(b *branch, up level, quota int) (used int, err error) {
	b.prepare(c.inside)
	if b.done || quota <= 0 {
		return 0, nil
	}
	fd, errno := openat(up.fd, b.n.name, openDirFlags)
	switch {
	case errno == unix.EMFILE || errno == unix.ENFILE || errno == unix.ENOMEM:
		c.p.fatal = errno
		return 0, c.p.fatalErr()
	case errno != 0: // it is gone, or the pass will say what is wrong with it.
		b.done, b.active = true, nil
		if !b.entered {
			b.entered = true
			return 1, nil
		}
		return 0, nil
	}
	defer func() { _ = unix.Close(fd) }()
	if !b.entered {
		b.enter(fd, c.p.h.options.IsWorkload)
		used++
	}
	if b.workload && !c.inside {
		b.done = b.links == 2
		return used, nil
	}
	more, err := c.share(b, level{fd: fd, depth: up.depth + 1}, quota-used)
	return used + more, err
}

// share deals quota out among the children of b, which is open.
func (c *chooser) share(b *branch, down level, quota int) (used int, err error) {
	if down.depth > maxDepth {
		b.links, b.done = 2, true // the pass counts what is too deep.
		return 0, nil
	}
	for quota > used && !b.done {
		if err := c.list(b, down.fd, quota-used); err != nil {
			return used, err
		}
		waiting := b.names - len(b.children)
		each := max(quantum, (quota-used)/max(1, len(b.active)+waiting))
		// A child that got nothing in this round comes first in the next one.
		var served []*branch
		for len(b.active) > 0 && used < quota {
			child := b.active[0]
			b.active = b.active[1:]
			got, err := c.fill(child, down, min(each, quota-used))
			if err != nil {
				return used, err
			}
			used += got
			if !child.done && (c.inside || !child.workload || !child.entered) {
				served = append(served, child)
			}
		}
		b.active = append(b.active, served...)
		b.done = len(b.active) == 0 && len(b.children) == b.names
	}
	return used, nil
}

// enter takes b into the choice; its directory is open at fd.
func (b *branch) enter(fd int, isWorkload func(string) bool) {
	b.entered, b.links = true, 2
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		b.links = uint64(st.Nlink)
		b.n.resetIfReplaced(st.Ino)
	}
	b.workload = isWorkload != nil && isWorkload(b.n.path)
	b.names = -1
	if b.links == 2 {
		b.names, b.done, b.n.children = 0, true, nil
	}
}

// prepare makes b ready for the turn of the cgroups inside workloads.
func (b *branch) prepare(inside bool) {
	if !inside || b.second {
		return
	}
	b.second = true
	if !b.entered || b.names != 0 {
		b.active, b.done = slices.Clone(b.children), false
	}
}

// list makes branches for more children of b, so that about as many as most says are
// active.
func (c *chooser) list(b *branch, fd, most int) error {
	if b.names >= 0 && (len(b.children) == b.names || len(b.active) >= most) {
		return nil
	}
	known := len(b.children)
	// The nodes of the last pass are kept, with all that is known of them.
	leftOut, err := c.p.h.lister.list(b.n, fd, max(known+most-len(b.active), len(b.n.children)))
	if err != nil {
		if isExhausted(err) {
			c.p.fatal = unix.EMFILE
			return c.p.fatalErr()
		}
		b.n.children, leftOut = nil, 0
	}
	have := make(map[*node]bool, known)
	for _, child := range b.children {
		have[child.n] = true
	}
	for _, n := range b.n.children {
		if !have[n] {
			child := &branch{n: n}
			b.children, b.active = append(b.children, child), append(b.active, child)
		}
	}
	b.names = len(b.children) + leftOut
	return nil
}

// keepChosen gives each node only its chosen children and returns how many cgroups
// were left out: a lower bound, since their descendants were not counted.
func (c *chooser) keepChosen(b *branch) (leftOut uint64) {
	n := b.n
	if !b.entered || b.links == 2 {
		return 0
	}
	chosen := make([]*node, 0, len(b.children))
	for _, child := range b.children {
		if child.entered {
			chosen = append(chosen, child.n)
			leftOut += c.keepChosen(child)
		}
	}
	slices.SortFunc(chosen, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	n.children, n.left = chosen, 0
	switch {
	case b.names >= 0:
		n.left = uint64(b.names - len(chosen))
	case b.links > 2: // never listed.
		n.left = b.links - 2
	default:
		n.left = 1
	}
	return leftOut + n.left
}

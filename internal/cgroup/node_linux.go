// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// node remembers a cgroup from one pass to the next: its path and name, so that
// they are allocated once, its children, so that the directory is listed again
// only when they changed, and the last values of its files.
type node struct {
	path     string // as in oom.GroupID.
	name     string // last element, ending in NUL; a part of path's memory.
	uid      uint32 // of the user who may create cgroups in it.
	inode    uint64 // 0 until the directory was opened, and when it is gone.
	pass     uint64 // that saw it last.
	children []*node

	left         uint64     // children that were left out when children was chosen.
	complete     bool       // the last pass saw all children.
	withChildren bool       // raw includes the children's counts.
	raw          oom.Events // counters as in the file.
	events       oom.Events // counters as returned by the last pass.
	made         int64      // earliest time seen on the directory.
	watch        uint64     // number of the watcher that watches it.
	mems         []int
	kept         kept
}

func newRoot() *node { return &node{path: "/", name: ".\x00"} }

// child returns a new node for a directory name that ends in NUL.
func (n *node) child(name []byte) *node {
	parent := n.path
	if parent == "/" {
		parent = ""
	}
	var b strings.Builder
	b.Grow(len(parent) + 1 + len(name))
	b.WriteString(parent)
	b.WriteByte('/')
	b.Write(name)
	s := b.String()
	return &node{path: s[:len(s)-1], name: s[len(parent)+1:]}
}

// markSeen records that this pass opened the directory. If the inode has changed, it is
// another cgroup, and nothing is known of it yet.
func (n *node) markSeen(pass, inode uint64) {
	n.resetIfReplaced(inode)
	n.pass = pass
}

// noteDir notes what the directory says: who may create cgroups in it, and the earliest
// time that it has had.
func (n *node) noteDir(st *unix.Stat_t) {
	n.uid = makerOf(st)
	if t := int64(st.Mtim.Sec); n.made == 0 || t < n.made {
		n.made = t
	}
}

// resetIfReplaced resets the node if its name belongs to another cgroup by now.
func (n *node) resetIfReplaced(inode uint64) {
	if n.inode != inode {
		*n = node{path: n.path, name: n.name, inode: inode}
	}
}

// reset resets the node of a cgroup that was removed.
func (n *node) reset() { *n = node{path: n.path, name: n.name} }

// lister lists directories, with buffers that are used again.
type lister struct {
	buf   []byte
	arena []byte   // names one after the other, each ending in NUL.
	names [][2]int // where they are in arena.
}

// list brings n's children up to date with the directory, sorted by name, but
// keeps only the first ones, at most as many as most says. It returns how many
// names it left out; l.leftOut returns those until the next call.
func (l *lister) list(n *node, dir, most int) (leftOut int, err error) {
	if err := l.read(dir); err != nil {
		return 0, err
	}
	keep := min(len(l.names), most)
	n.children = l.merge(n, l.names[:keep])
	l.names = l.names[keep:]
	return len(l.names), nil
}

// read lists a directory, sorted by name.
func (l *lister) read(dir int) error {
	fd, errno := openat(dir, ".\x00", openListFlags)
	if errno != 0 {
		return errno
	}
	defer func() { _ = unix.Close(fd) }()
	l.arena, l.names = l.arena[:0], l.names[:0]
	err := dirents(fd, l.buf, func(name []byte) {
		start := len(l.arena)
		l.arena = append(l.arena, name...)
		l.names = append(l.names, [2]int{start, len(l.arena)})
	})
	if err != nil {
		return err
	}
	slices.SortFunc(l.names, func(a, b [2]int) int {
		return bytes.Compare(l.arena[a[0]:a[1]], l.arena[b[0]:b[1]])
	})
	return nil
}

// leftOut returns a name that the last list left out, as a string of its own.
func (l *lister) leftOut(i int) string {
	return string(l.arena[l.names[i][0]:l.names[i][1]])
}

// merge returns nodes for names, and reuses those of n's children that have these
// names. Both are sorted.
func (l *lister) merge(n *node, names [][2]int) []*node {
	if len(names) == 0 {
		return nil
	}
	old := n.children
	children := make([]*node, 0, len(names))
	for _, at := range names {
		name := l.arena[at[0]:at[1]]
		for len(old) > 0 && old[0].name < string(name) {
			old = old[1:]
		}
		if len(old) > 0 && old[0].name == string(name) {
			children = append(children, old[0])
			continue
		}
		children = append(children, n.child(name))
	}
	return children
}

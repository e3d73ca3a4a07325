// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// SamplerOptions tune a Sampler; the zero value is ready to use.
type SamplerOptions struct {
	MaxGroups int // most cgroups to know; default the Hierarchy's.
	MaxFiles  int // most descriptors to keep open; default a quarter of the limit.
}

// Sampler reads single numbers of many cgroups very often, where a pass over
// all files would cost too much. It knows which cgroups there are without
// walking the tree: a directory is listed only when its number of links changes
// or a cgroup in it is gone. It has no part in the passes of its Hierarchy, and
// waits for none. It belongs to one goroutine.
type Sampler struct {
	version   int
	pageSize  int
	max       int
	maxFiles  int
	files     int  // descriptors that are kept open;
	kept      int  // how many of them are of usage files.
	kernel    bool // this is cgroupfs, not a directory that looks like one.
	root      int
	members   []member
	free      []oom.CgroupHandle
	known     int // members that are there.
	over      int // cgroups over the bound, as of the last listing of each directory.
	turn      int
	buf       []byte
	path      []byte
	lister    lister
	suspects  []oom.CgroupHandle // that seem to be gone.
	found     []oom.FoundCgroup
	gone      []oom.CgroupHandle
	misses    [numFiles]uint8 // cgroups in a row without the file.
	exhausted bool            // there were no descriptors left.
}

// member is a cgroup that the Sampler knows.
type member struct {
	oom.GroupID
	parent     oom.CgroupHandle
	depth      int
	children   []oom.CgroupHandle
	dir, usage int // descriptors; -1: none is kept.
	here       bool
	charged    bool // its usage could be read.
	uid        uint32
	size       int  // members in its subtree, itself included.
	over       int  // children that are over the bound.
	young      int  // finds for which it still counts as new.
	stirred    bool // it was not quiet all the time since its last turn.
}

const (
	// leafTurns: once in so many finds, a cgroup without children is looked at, and
	// a kept one is looked up by its name, since v1 allows renaming.
	leafTurns = 32
	// quietTurns is the same for cgroups that were quiet all the time since then.
	quietTurns = 8 * leafTurns
	// youngFinds is for how many finds a new cgroup is looked at each time: its
	// children come soon.
	youngFinds = 60
)

// Sampler returns a new Sampler, which must be closed.
func (h *Hierarchy) Sampler(o SamplerOptions) (*Sampler, error) {
	if o.MaxGroups <= 0 {
		o.MaxGroups = h.options.MaxGroups
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = shareOf(samplerFiles)
	}
	root, err := unix.Open(h.place.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the cgroup hierarchy: %w", &fs.PathError{Op: "open", Path: h.place.dir, Err: err})
	}
	s := &Sampler{
		version: h.place.version, pageSize: h.pageSize, max: o.MaxGroups, maxFiles: o.MaxFiles, root: root,
		buf: make([]byte, 64<<10), lister: lister{buf: make([]byte, 32<<10)},
	}
	var st unix.Statfs_t
	if unix.Fstatfs(root, &st) == nil {
		t := int64(st.Type)
		s.kernel = t == unix.CGROUP_SUPER_MAGIC || t == unix.CGROUP2_SUPER_MAGIC
	}
	if !s.kernel {
		s.maxFiles = 0 // only the kernel's files tell when their cgroup is gone.
	}
	return s, nil
}

// Close closes what is kept open.
func (s *Sampler) Close() error {
	for i := range s.members {
		s.closeFiles(&s.members[i])
	}
	return unix.Close(s.root)
}

// Find brings what is known up to date and returns which cgroups are gone and
// which are new, parents first; a new one may have the handle of one that is gone.
// Both slices are valid until the next call. isQuiet tells whether it is known that
// nothing was charged to a cgroup for a while: whatever comes into one charges it.
func (s *Sampler) Find(isQuiet func(oom.CgroupHandle) bool) (gone []oom.CgroupHandle, found []oom.FoundCgroup, err error) {
	s.found, s.gone, s.exhausted = s.found[:0], s.gone[:0], false
	s.turn++
	if len(s.members) == 0 {
		if err := s.addRoot(); err != nil {
			return nil, nil, err
		}
	}
	suspects := s.suspects
	s.suspects = nil
	for _, h := range suspects {
		if m := &s.members[h]; m.here && m.parent >= 0 {
			s.list(m.parent)
		}
	}
	for i := range s.members {
		if s.members[i].here {
			s.checkIfDue(oom.CgroupHandle(i), isQuiet(oom.CgroupHandle(i)))
		}
	}
	if s.exhausted {
		s.keepFewer()
	}
	return s.gone, s.found, nil
}

// Over returns how many cgroups are left out because there are too many; those
// below them are not counted.
func (s *Sampler) Over() int { return s.over }

// lookUp is the cost of reading a file that has to be looked up, in readings of a
// kept descriptor.
const lookUp = 10

// Cost returns the cost of reading the usage of all cgroups once, in readings of a
// kept descriptor.
func (s *Sampler) Cost() int { return s.kept + lookUp*(s.known-s.kept) }

// addRoot makes the root the first member.
func (s *Sampler) addRoot() error {
	var st unix.Stat_t
	if err := unix.Fstatat(s.root, "", &st, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("look at the root cgroup: %w", err)
	}
	s.add(oom.NoCgroup, member{GroupID: oom.GroupID{Path: "/", Inode: st.Ino}, uid: makerOf(&st)})
	s.list(0)
	return nil
}

// add makes a cgroup a member.
func (s *Sampler) add(parent oom.CgroupHandle, m member) oom.CgroupHandle {
	m.parent, m.here, m.dir, m.usage, m.size = parent, true, -1, -1, 1
	if s.turn > 1 { // what was there before is not new.
		m.young = youngFinds
	}
	var h oom.CgroupHandle
	if n := len(s.free); n > 0 {
		h, s.free = s.free[n-1], s.free[:n-1]
		s.members[h] = m
	} else {
		h = oom.CgroupHandle(len(s.members))
		s.members = append(s.members, m)
	}
	s.known++
	s.resize(parent, 1)
	s.keepUsage(h)
	if parent >= 0 {
		p := &s.members[parent]
		p.children = append(p.children, h)
		s.keepDir(parent)
	}
	s.found = append(s.found, oom.FoundCgroup{GroupID: m.GroupID, Handle: h, Parent: parent, UID: m.uid})
	return h
}

// remove forgets a cgroup and those below it.
func (s *Sampler) remove(h oom.CgroupHandle) {
	m := &s.members[h]
	for _, c := range m.children {
		s.remove(c)
	}
	s.closeFiles(m)
	s.resize(m.parent, -1)
	s.over -= m.over
	s.members[h] = member{dir: -1, usage: -1}
	s.known--
	s.free = append(s.free, h)
	for i, f := range slices.Backward(s.found) {
		if f.Handle == h { // it came and went in one find.
			s.found = slices.Delete(s.found, i, i+1)
			return
		}
	}
	s.gone = append(s.gone, h)
}

// checkIfDue checks the children of a cgroup that is new, that has children and was not
// quiet, or whose turn it is. One that was quiet all the time can't have got children, so
// its turns are rarer. The root is checked each time.
func (s *Sampler) checkIfDue(h oom.CgroupHandle, quiet bool) {
	m := &s.members[h]
	m.stirred = m.stirred || !quiet
	turn := int(h) + s.turn
	switch inTurn := m.stirred && turn%leafTurns == 0 || turn%quietTurns == 0; {
	case inTurn:
		m.stirred = false
		m.young = max(m.young-1, 0)
		s.checkChildren(h, true)
	case m.young > 0, m.parent < 0, len(m.children) > 0 && !quiet:
		m.young = max(m.young-1, 0)
		s.checkChildren(h, false)
	}
}

// checkChildren lists the directory of a cgroup if its children seem to have changed.
func (s *Sampler) checkChildren(h oom.CgroupHandle, byName bool) {
	m := &s.members[h]
	var st unix.Stat_t
	var err error
	if m.dir >= 0 && !byName {
		err = unix.Fstat(m.dir, &st)
	} else {
		err = unix.Fstatat(s.root, s.relative(m.Path), &st, unix.AT_SYMLINK_NOFOLLOW)
	}
	switch {
	case isGone(err) || err == nil && st.Ino != m.Inode:
		s.suspects = append(s.suspects, h) // its parent is listed in the next find.
	case err != nil:
	case st.Nlink < 2 || int(st.Nlink) != 2+len(m.children)+m.over, m.over > 0 && s.known < s.max:
		s.list(h)
	}
}

// relative returns a path as seen from the root's descriptor.
func (s *Sampler) relative(path string) string {
	if path == "/" {
		return "."
	}
	return path[1:]
}

func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOTDIR)
}

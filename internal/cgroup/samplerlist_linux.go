// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// list brings the children of a cgroup up to date with its directory.
func (s *Sampler) list(h oom.CgroupHandle) {
	names, ok := s.names(h)
	if !ok {
		s.members[h].young = youngFinds // it is tried again.
		return
	}
	m := &s.members[h]
	before := slices.Clone(m.children)
	stays := make(map[string]bool, len(before))
	for _, c := range before {
		name := baseName(s.members[c].Path)
		if _, there := slices.BinarySearch(names, name); there && s.isSame(c) {
			stays[name] = true
			continue
		}
		m.children = slices.DeleteFunc(m.children, func(x oom.CgroupHandle) bool { return x == c })
		s.remove(c)
	}
	over, full := 0, false
	for _, name := range names {
		if stays[name] {
			continue
		}
		if full = full || s.known >= s.max && !s.makeRoom(h); full {
			over++
			continue
		}
		s.addChild(h, name)
	}
	m = &s.members[h] // it may have moved.
	s.over += over - m.over
	m.over = over
}

// makeRoom forgets one cgroup to make room for a new child of h, and tells whether it
// could. From the root down it enters the largest subtree of each level. Where the new
// child belongs to another subtree, the largest has to be larger than that one, by more
// than the child. So whoever makes very many takes no place from those who make few.
func (s *Sampler) makeRoom(h oom.CgroupHandle) bool {
	way := map[oom.CgroupHandle]oom.CgroupHandle{} // from the root to h: parent to child.
	for c := h; s.members[c].parent >= 0; c = s.members[c].parent {
		way[s.members[c].parent] = c
	}
	at, apart := oom.CgroupHandle(0), false
	for len(s.members[at].children) > 0 {
		largest := s.members[at].children[0]
		for _, c := range s.members[at].children {
			if s.members[c].size >= s.members[largest].size {
				largest = c
			}
		}
		if !apart {
			own, size := way[at], 0
			if at != h {
				size = s.members[own].size
			}
			if at == h || largest != own {
				if s.members[largest].size <= size+1 {
					return false
				}
				apart = true
			}
		}
		at = largest
	}
	if !apart {
		return false
	}
	p := &s.members[s.members[at].parent]
	p.children = slices.DeleteFunc(p.children, func(c oom.CgroupHandle) bool { return c == at })
	p.over++
	s.over++
	s.remove(at)
	return true
}

// resize adds to the size of a cgroup and of those above it.
func (s *Sampler) resize(h oom.CgroupHandle, by int) {
	for ; h >= 0; h = s.members[h].parent {
		s.members[h].size += by
	}
}

// names returns the sorted names of a cgroup's child directories.
func (s *Sampler) names(h oom.CgroupHandle) ([]string, bool) {
	fd, errno := openat(s.root, s.relative(s.members[h].Path)+"\x00", openListFlags|unix.O_NOFOLLOW)
	if errno != 0 {
		s.noteErrno(errno)
		return nil, isGone(errno)
	}
	defer func() { _ = unix.Close(fd) }()
	var names []string
	if err := dirents(fd, s.lister.buf, func(name []byte) { names = append(names, string(name[:len(name)-1])) }); err != nil {
		return nil, isGone(err)
	}
	slices.Sort(names)
	return names, true
}

// isSame tells whether the cgroup that has a member's name is that member.
func (s *Sampler) isSame(h oom.CgroupHandle) bool {
	m := &s.members[h]
	var st unix.Stat_t
	err := unix.Fstatat(s.root, s.relative(m.Path), &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Ino == m.Inode
}

// addChild makes a child, and the cgroups below it, members.
func (s *Sampler) addChild(parent oom.CgroupHandle, name string) {
	p := &s.members[parent]
	if p.depth >= maxDepth {
		return
	}
	path := p.Path + "/" + name
	if p.Path == "/" {
		path = "/" + name
	}
	var st unix.Stat_t
	if err := unix.Fstatat(s.root, s.relative(path), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return
	}
	h := s.add(parent, member{GroupID: oom.GroupID{Path: path, Inode: st.Ino}, depth: p.depth + 1, uid: makerOf(&st)})
	if st.Nlink != 2 {
		s.list(h)
	}
}

func baseName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}

// keepUsage opens the usage file of a cgroup and keeps it open, while there is room.
func (s *Sampler) keepUsage(h oom.CgroupHandle) {
	m := &s.members[h]
	if s.files >= s.maxFiles {
		return
	}
	fd, errno := s.open(m, s.usageFile())
	if errno != 0 {
		s.noteErrno(errno)
		return
	}
	_, _ = unix.Pread(fd, s.buf, 0) // see readAgain.
	m.usage = fd
	s.files++
	s.kept++
}

// keepDir opens the directory of a cgroup with children and keeps it open.
func (s *Sampler) keepDir(h oom.CgroupHandle) {
	m := &s.members[h]
	if m.dir >= 0 || s.files >= s.maxFiles {
		return
	}
	fd, errno := openat(s.root, s.relative(m.Path)+"\x00", openDirFlags)
	if errno != 0 {
		s.noteErrno(errno)
		return
	}
	m.dir = fd
	s.files++
}

func (s *Sampler) usageFile() file {
	if s.version == 1 {
		return v1Usage
	}
	return v2Current
}

// open opens a file of a cgroup.
func (s *Sampler) open(m *member, f file) (int, unix.Errno) {
	if m.dir >= 0 {
		return openat(m.dir, files[f].name, openFileFlags)
	}
	from, path := s.root, s.relative(m.Path)
	if m.parent >= 0 && s.members[m.parent].dir >= 0 { // the shorter way.
		from, path = s.members[m.parent].dir, baseName(m.Path)
	}
	s.path = append(append(append(s.path[:0], path...), '/'), files[f].name...)
	return openat(from, unsafeString(s.path), openFileFlags)
}

// noteErrno remembers that there are no descriptors left.
func (s *Sampler) noteErrno(errno unix.Errno) {
	if isExhausted(errno) {
		s.exhausted = true
	}
}

// keepFewer gives half of the kept descriptors back for good: others need them
// more.
func (s *Sampler) keepFewer() {
	s.maxFiles = s.files / 2
	for i := len(s.members) - 1; i >= 0 && s.files > s.maxFiles; i-- {
		s.closeFiles(&s.members[i])
	}
}

func (s *Sampler) closeFiles(m *member) {
	if m.usage >= 0 && m.here {
		s.kept--
	}
	for _, fd := range []*int{&m.dir, &m.usage} {
		if *fd >= 0 && m.here {
			_ = unix.Close(*fd)
			s.files--
			*fd = -1
		}
	}
}

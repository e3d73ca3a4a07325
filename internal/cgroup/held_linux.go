// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// maxHeld bounds the groups that are kept open during a kill storm: each takes
	// some 5 KiB of kernel memory.
	maxHeld = 2048
	// heldFiles is how many descriptors a group takes.
	heldFiles = 2
	// stormGap is the longest time between two ReadKills passes of a kill storm: in
	// one, they are at most about 2 s apart.
	stormGap = 3 * time.Second
	// heldFor is how long after the last ReadKills pass the groups are kept open.
	heldFor = 10 * time.Second
)

// storm keeps cgroups open between ReadKills passes during a kill storm. v1 has no
// counter that includes descendants, so each pass has to read all cgroups, and
// most of the cost is looking the files up.
type storm struct {
	last   time.Time // of the last ReadKills pass.
	soon   bool      // the current pass follows it within stormGap.
	groups map[*node]held
	rows   []oom.Group // the memory of the last ReadKills tree.
}

// held is an open v1 cgroup. Once the cgroup is removed, reading its file fails
// with ENODEV, even if another one has the same name by now.
type held struct {
	inode        uint64
	dir, control int // control is memory.oom_control.
}

func (e held) close() {
	_ = unix.Close(e.dir)
	_ = unix.Close(e.control)
}

// read reads the counters into buf; it is false once the group is gone.
func (e held) read(buf []byte, st *unix.Stat_t) (n int, ok bool) {
	n, err := unix.Pread(e.control, buf, 0)
	return n, err == nil && unix.Fstat(e.dir, st) == nil
}

// begin is called before each pass.
func (s *storm) begin(kills bool) {
	now := time.Now()
	since := now.Sub(s.last)
	if since > heldFor {
		s.closeAll()
		s.rows = nil
	}
	if s.soon = kills && since <= stormGap; kills {
		s.last = now
	}
}

func (s *storm) closeAll() { s.closeWhere(func(*node, held) bool { return true }) }

// closeWhere closes the groups for which done returns true.
func (s *storm) closeWhere(done func(*node, held) bool) {
	for n, e := range s.groups {
		if done(n, e) {
			e.close()
			delete(s.groups, n)
		}
	}
}

// end is called after each ReadKills pass and closes the cgroups it did not see.
func (s *storm) end(pass uint64, rows []oom.Group) {
	s.rows = rows
	s.closeWhere(func(n *node, e held) bool { return n.pass != pass || n.inode != e.inode })
}

// readHeld reads a cgroup that is kept open, and its descendants. done is false if
// the cgroup is not open or no longer exists.
func (p *pass) readHeld(n *node, up level) (done bool, err error) {
	e, ok := p.h.storm.groups[n]
	if !ok || n.inode != e.inode {
		return false, nil
	}
	var st unix.Stat_t
	read, ok := e.read(p.h.buf, &st)
	if !ok {
		e.close()
		delete(p.h.storm.groups, n)
		return false, nil
	}
	n.pass = p.h.pass
	p.setCurrent(n, e.dir)
	index := len(p.tree.Groups)
	p.tree.Groups = append(p.tree.Groups, oom.Group{
		GroupID: oom.GroupID{Path: n.path, Inode: n.inode}, Parent: up.index, Owner: index, UID: makerOf(&st),
	})
	g := &p.tree.Groups[index]
	g.KillDisabled, g.UnderOOM, g.Events.OwnKills = parseOOMControl(p.h.buf[:read])
	n.raw, n.withChildren, n.events = oom.Events{OwnKills: g.Events.OwnKills}, false, g.Events
	return true, p.readChildren(n, level{fd: e.dir, cpuset: -1, index: index, depth: up.depth + 1}, uint64(st.Nlink))
}

// holdOpen keeps the current cgroup open for the next passes during a kill storm.
func (p *pass) holdOpen(n *node, fd int) {
	s := &p.h.storm
	if !s.soon || p.h.place.version != 1 || p.h.scope != scopeOwn || !p.mayHold() {
		return
	}
	if _, ok := s.groups[n]; ok || p.missing != 0 || p.denied {
		return
	}
	control, errno := openat(fd, files[v1OOMControl].name, openFileFlags)
	if errno != 0 {
		return
	}
	dir, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(control)
		return
	}
	if s.groups == nil {
		s.groups = map[*node]held{}
	}
	s.groups[n] = held{inode: n.inode, dir: dir, control: control}
}

// mayHold tells whether another cgroup may be kept open. On a file system other
// than cgroupfs an open file does not show that its cgroup was removed.
func (p *pass) mayHold() bool {
	if len(p.h.storm.groups) >= min(maxHeld, shareOf(stormFiles)/heldFiles) {
		return false
	}
	var fs unix.Statfs_t
	return unix.Fstatfs(p.rootFD, &fs) == nil && int64(fs.Type) == unix.CGROUP_SUPER_MAGIC
}

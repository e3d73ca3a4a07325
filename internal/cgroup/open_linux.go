// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// openGroup is a group that stays open between passes: to look its directory,
// usage and limit up takes twice as long as to read them. Once it is removed,
// its files have ENODEV for us, also when another group has the name. One that is
// renamed, which v1 allows, shows nothing, so each is looked up in turn.
type openGroup struct {
	inode             uint64
	dir, usage, limit int
}

const (
	// openFiles is how many descriptors a group takes.
	openFiles = 3
	// openPasses is in how many passes each is looked up once on v1.
	openPasses = 64
	// openText is room for a number and its newline.
	openText = 32
)

func (o *openGroup) close() {
	_ = unix.Close(o.dir)
	_ = unix.Close(o.usage)
	_ = unix.Close(o.limit)
}

// readAgain reads a kept file from its beginning. It was read before, so the
// kernel has a buffer for it and prints a counter without sleeping; the scheduler
// need not be told: it would hand the processor on and wake others up for it. An
// offset of 0 is zeros on every ABI.
func readAgain(fd int, buf []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// mayKeepOpen is how many groups may be open at a time: as many as are wanted,
// as long as three eighths of the descriptors are left to all others. Where half
// of the groups were left out, the rest is not worth its memory; none are opened
// again until a good deal fewer are. Only the kernel's own files tell when their
// group is gone.
func (h *Hierarchy) mayKeepOpen(root int) int {
	var limit unix.Rlimit
	var fs unix.Statfs_t
	if h.options.KeepOpen <= 0 || unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || unix.Fstatfs(root, &fs) != nil {
		return 0
	}
	if t := int64(fs.Type); t != unix.CGROUP_SUPER_MAGIC && t != unix.CGROUP2_SUPER_MAGIC {
		return 0
	}
	most := min(h.options.KeepOpen, int(min(limit.Cur, 1<<20)*5/8/openFiles))
	if h.groups > 2*most || len(h.open) == 0 && h.groups > most*7/4 {
		return 0
	}
	return most
}

// open returns the directory of n. stays says that it is one that is kept open,
// with whose usage the group is known to be alive.
func (p *pass) open(n *node, parent int) (fd int, stays bool, errno unix.Errno) {
	if o, ok := p.h.open[n]; ok && !p.kills {
		turn := p.h.place.version == 1 && (n.inode+p.h.reads)%openPasses == 0
		if read, errno := readAgain(o.usage, p.usage[:]); errno == 0 && n.inode == o.inode && !turn {
			p.opened, p.read = o, read
			return o.dir, true, 0
		}
		o.close()
		delete(p.h.open, n)
	}
	p.opened = nil
	fd, errno = openat(parent, n.name, openDirFlags)
	return fd, false, errno
}

// text returns a file of the current group if it is kept open.
func (p *pass) text(f file) (b []byte, errno unix.Errno, ok bool) {
	if p.opened == nil {
		return nil, 0, false
	}
	switch f {
	case v1Usage, v2Current:
		return p.usage[:p.read], 0, true
	case v1Limit, v2Max:
		read, errno := readAgain(p.opened.limit, p.h.buf)
		return p.h.buf[:read], errno, true
	}
	return nil, 0, false
}

// keepOpen keeps the current group open for the next passes if it was known
// before this one, had all of its files and there is room; the directory is the
// map's then.
func (p *pass) keepOpen(n *node, dir int, known bool) bool {
	if p.kills || !known || n == p.h.root || p.missing != 0 || p.denied || len(p.h.open) >= p.mayOpen {
		return false
	}
	usage, limit := v1Usage, v1Limit
	if p.h.place.version == 2 {
		usage, limit = v2Current, v2Max
	}
	o := &openGroup{inode: n.inode, dir: dir}
	var errno unix.Errno
	if o.usage, errno = openat(dir, fileNames[usage], openFileFlags); errno != 0 {
		return false
	}
	if o.limit, errno = openat(dir, fileNames[limit], openFileFlags); errno != 0 {
		_ = unix.Close(o.usage)
		return false
	}
	for _, fd := range []int{o.usage, o.limit} { // see readAgain; who is gone by now shows in the next pass.
		_, _ = unix.Pread(fd, p.h.buf, 0)
	}
	if p.h.open == nil {
		p.h.open = map[*node]*openGroup{}
	}
	p.h.open[n] = o
	return true
}

// letGo closes the groups that a full pass did not meet, or all.
func (h *Hierarchy) letGo(all bool) {
	for n, o := range h.open {
		if all || n.pass != h.pass || n.inode != o.inode {
			o.close()
			delete(h.open, n)
		}
	}
}

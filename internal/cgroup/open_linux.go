// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// openGroup is a cgroup kept open between passes: opening its directory, usage and
// limit takes twice as long as reading them. Once the cgroup is removed, reading
// fails with ENODEV, even if another one has the same name by now. v1 allows
// renaming, which an open file does not show, so each is opened anew in turn.
type openGroup struct {
	inode             uint64
	dir, usage, limit int
}

const (
	// openFiles is how many descriptors a group takes.
	openFiles = 3
	// openPasses: on v1, each is looked up by name once in so many passes.
	openPasses = 64
	// openText is room for a number and its newline.
	openText = 32
)

func (o *openGroup) close() {
	_ = unix.Close(o.dir)
	_ = unix.Close(o.usage)
	_ = unix.Close(o.limit)
}

// readAgain rereads a file that is kept open, from the start. It was read before,
// so the kernel has its buffer and never sleeps; a raw system call spares the Go
// scheduler the hand-over. The offset is 0, which every ABI passes the same way.
func readAgain(fd int, buf []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// mayKeepOpen returns how many cgroups may be kept open: Options.KeepOpen, but at most
// their share of the descriptors. On a file system other than cgroupfs an open file does
// not show a removed cgroup.
func (h *Hierarchy) mayKeepOpen(root int) int {
	var fs unix.Statfs_t
	if h.options.KeepOpen <= 0 || unix.Fstatfs(root, &fs) != nil {
		return 0
	}
	if t := int64(fs.Type); t != unix.CGROUP_SUPER_MAGIC && t != unix.CGROUP2_SUPER_MAGIC {
		return 0
	}
	return min(h.options.KeepOpen, shareOf(scrapeFiles)/openFiles)
}

// openCgroup returns the directory of n. stays says that it is kept open between passes;
// in that case reading its usage has shown that the cgroup still exists.
func (p *pass) openCgroup(n *node, parent int) (fd int, stays bool, errno unix.Errno) {
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
	if parent < 0 {
		fd, errno = p.openPath(n)
		return fd, false, errno
	}
	fd, errno = openat(parent, n.name, openDirFlags)
	return fd, false, errno
}

// readKeptOpen returns a file of the current group if it is kept open.
func (p *pass) readKeptOpen(f file) (b []byte, errno unix.Errno, ok bool) {
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

// keepOpen keeps the current cgroup open for the next passes if an earlier pass saw
// it too, none of its files is missing, and there is room. The map then owns dir.
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
	if o.usage, errno = openat(dir, files[usage].name, openFileFlags); errno != 0 {
		return false
	}
	if o.limit, errno = openat(dir, files[limit].name, openFileFlags); errno != 0 {
		_ = unix.Close(o.usage)
		return false
	}
	for _, fd := range []int{o.usage, o.limit} { // see readAgain; if the cgroup is gone, the next pass notices.
		_, _ = unix.Pread(fd, p.h.buf, 0)
	}
	if p.h.open == nil {
		p.h.open = map[*node]*openGroup{}
	}
	p.h.open[n] = o
	return true
}

// closeKeptOpen closes the open cgroups that the last full pass did not see, and so many
// of the others that no more than most stay open.
func (h *Hierarchy) closeKeptOpen(most int) {
	for n, o := range h.open {
		if n.pass != h.pass || n.inode != o.inode || len(h.open) > most {
			o.close()
			delete(h.open, n)
		}
	}
}

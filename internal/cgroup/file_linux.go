// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// file is a file of a group. Names end in NUL, ready for the kernel: a pass over
// a thousand groups opens some ten thousand files, and nothing is allocated for
// any of them.
type file uint8

const (
	v1Usage file = iota
	v1Stat
	v1Limit
	v1Failcnt
	v1OOMControl
	v1Kmem
	v1Peak
	v1MemswUsage
	v1MemswLimit
	v1Swappiness
	v1Hierarchy
	v1Mems
	v2Current
	v2Stat
	v2Max
	v2High
	v2Events
	v2EventsLocal
	v2Peak
	v2SwapCurrent
	v2SwapMax
	v2Pressure
	v2Min
	v2OOMGroup
	v2Mems
	procs
	numFiles
)

// freshness says when a file is read. In between, its last value stands.
type freshness uint8

const (
	always      freshness = iota // in each pass.
	whenCharged                  // when usage has moved since the last pass, and in turn.
	inTurn                       // once in Options.Refresh passes, and when the limit has changed.
)

// files says of each file what it is called, when it is read, and whether there are
// kernels that do not have it: once the first cgroups of a pass have shown that, it is
// not tried for the others.
var files = [numFiles]struct {
	name     string
	fresh    freshness
	optional bool
}{
	v1Usage:       {name: "memory.usage_in_bytes\x00", fresh: always},
	v1Stat:        {name: "memory.stat\x00", fresh: whenCharged},
	v1Limit:       {name: "memory.limit_in_bytes\x00", fresh: always},
	v1Failcnt:     {name: "memory.failcnt\x00", fresh: whenCharged},                             // only where there is a limit, else inTurn.
	v1OOMControl:  {name: "memory.oom_control\x00", fresh: whenCharged},                         // always where the killer is disabled, or children are counted too.
	v1Kmem:        {name: "memory.kmem.usage_in_bytes\x00", fresh: whenCharged, optional: true}, // more exactly, see readKernelV1.
	v1Peak:        {name: "memory.max_usage_in_bytes\x00", fresh: whenCharged, optional: true},
	v1MemswUsage:  {name: "memory.memsw.usage_in_bytes\x00", fresh: always, optional: true}, // only where there is such a limit, else inTurn.
	v1MemswLimit:  {name: "memory.memsw.limit_in_bytes\x00", fresh: inTurn, optional: true},
	v1Swappiness:  {name: "memory.swappiness\x00", fresh: inTurn, optional: true},
	v1Hierarchy:   {name: "memory.use_hierarchy\x00", fresh: always}, // only until an ancestor has it.
	v1Mems:        {name: "cpuset.mems\x00", fresh: always},
	v2Current:     {name: "memory.current\x00", fresh: always},
	v2Stat:        {name: "memory.stat\x00", fresh: whenCharged},
	v2Max:         {name: "memory.max\x00", fresh: always},
	v2High:        {name: "memory.high\x00", fresh: inTurn},
	v2Events:      {name: "memory.events\x00", fresh: always},
	v2EventsLocal: {name: "memory.events.local\x00", fresh: always, optional: true}, // only where memory.events has moved, else inTurn.
	v2Peak:        {name: "memory.peak\x00", fresh: whenCharged, optional: true},
	v2SwapCurrent: {name: "memory.swap.current\x00", fresh: always, optional: true}, // only where the node has swap, else inTurn.
	v2SwapMax:     {name: "memory.swap.max\x00", fresh: inTurn, optional: true},
	v2Pressure:    {name: "memory.pressure\x00", fresh: always},
	v2Min:         {name: "memory.min\x00", fresh: inTurn, optional: true},
	v2OOMGroup:    {name: "memory.oom.group\x00", fresh: inTurn, optional: true},
	v2Mems:        {name: "cpuset.mems.effective\x00", fresh: always},
	procs:         {name: "cgroup.procs\x00", fresh: whenCharged}, // only of leaves and of those that had any, else inTurn.
}

// String returns the name without its NUL.
func (f file) String() string { return files[f].name[:len(files[f].name)-1] }

// O_PATH is enough to look files up and to fstat, and needs no read permission.
// O_NONBLOCK means nothing to cgroupfs and keeps a FIFO from blocking us.
const (
	openDirFlags  = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	openListFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	openFileFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
)

// openat opens name, which must end in NUL, relative to dir.
func openat(dir int, name string, flags int) (int, unix.Errno) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir),
			uintptr(unsafe.Pointer(unsafe.StringData(name))), uintptr(flags), 0, 0, 0)
		if errno != unix.EINTR {
			return int(fd), errno
		}
	}
}

// read reads into buf with one read(2), which it repeats only if interrupted.
func read(fd int, buf []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_READ, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// readAt reads a whole file below dir into buf. One read is enough: the kernel
// prints such a file in one go, and none of the files read here fills buf.
func readAt(dir int, name string, buf []byte) ([]byte, unix.Errno) {
	fd, errno := openat(dir, name, openFileFlags)
	if errno != 0 {
		return nil, errno
	}
	n, errno := read(fd, buf)
	_ = unix.Close(fd)
	if errno != 0 {
		return nil, errno
	}
	return buf[:n], 0
}

// seqSlack is less than what the kernel's seq_file collects before it returns
// part of a long file: nearly a page, which is at least 4,096 bytes. A read that
// returns less than seqSlack was the last one.
const seqSlack = 2048

// readPIDs appends the process ids of a cgroup.procs file to pids. The file is
// read in pieces: a fork bomb makes it megabytes long.
func readPIDs(dir int, pids []int32, buf []byte) ([]int32, unix.Errno) {
	fd, errno := openat(dir, files[procs].name, openFileFlags)
	if errno != 0 {
		return pids, errno
	}
	defer func() { _ = unix.Close(fd) }()
	carried := 0
	for {
		n, errno := read(fd, buf[carried:])
		if errno != 0 {
			return pids, errno
		}
		var rest []byte
		pids, rest = parsePIDs(pids, buf[:carried+n])
		if n < seqSlack || len(rest) > len(buf)/2 { // the end, or no pids at all.
			return pids, 0
		}
		carried = copy(buf, rest)
	}
}

// dirents calls each with the name, NUL included, of every entry of a directory
// that is or may be a directory itself.
func dirents(fd int, buf []byte, each func(name []byte)) error {
	const (
		offReclen = 16 // of struct linux_dirent64.
		offType   = 18
		offName   = 19
	)
	for {
		n, err := unix.Getdents(fd, buf)
		if n <= 0 {
			return err
		}
		for b := buf[:n]; len(b) > offName; {
			size := int(binary.NativeEndian.Uint16(b[offReclen:]))
			if size <= offName || size > len(b) {
				return unix.EIO
			}
			kind := b[offType]
			if kind == unix.DT_DIR || kind == unix.DT_UNKNOWN {
				if name := cString(b[offName:size]); !isDots(name) {
					each(name)
				}
			}
			b = b[size:]
		}
	}
}

// cString returns b up to and including its first NUL.
func cString(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i+1]
		}
	}
	return b
}

func isDots(name []byte) bool {
	s := string(name)
	return s == ".\x00" || s == "..\x00"
}

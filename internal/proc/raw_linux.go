// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below are what os and unix wrap, without the copy of the path and
// the object per file: a scan makes them three times for each process.

// open opens the file whose path, relative to dir, ends with a NUL.
func open(dir int, path []byte, flags int) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
			uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// read reads from where the descriptor stands.
func read(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// readSmall opens, reads once and closes: a file of /proc that fits into the
// buffer comes whole with the first read.
func readSmall(dir int, path, buf []byte) ([]byte, error) {
	fd, err := open(dir, path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	n, err := read(fd, buf)
	_ = unix.Close(fd)
	switch {
	case err != nil:
		return nil, err
	case n == len(buf):
		return nil, errDamaged
	}
	return buf[:n], nil
}

// readSmallRaw is readSmall for a process' small files on a real proc file
// system. Reading those never sleeps, so the scheduler need not be told about
// each call; that saves a tenth of a scan. On any other file system a call can
// take as long as a disk or a server does, and would hold up other goroutines.
func readSmallRaw(dir int, path, buf []byte) ([]byte, error) {
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
		uintptr(unix.O_RDONLY|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	switch {
	case errno == unix.EINTR: // never seen; readSmall retries.
		return readSmall(dir, path, buf)
	case errno != 0:
		return nil, errno
	case int(n) == len(buf):
		return nil, errDamaged
	}
	return buf[:n], nil
}

// maxFile bounds what readAll keeps: zoneinfo grows with zones times CPUs, a
// status file with the process' supplementary groups.
const maxFile = 16 << 20

// readAll reads a whole file into buf, which it makes longer as needed, and
// returns the contents and the buffer for the next time.
func readAll(dir int, path, buf []byte) (content, kept []byte, err error) {
	fd, err := open(dir, path, unix.O_RDONLY)
	if err != nil {
		return nil, buf, err
	}
	defer func() { _ = unix.Close(fd) }()
	size := 0
	for {
		if size == len(buf) {
			if size >= maxFile {
				return nil, buf, errDamaged
			}
			buf = append(buf, make([]byte, max(len(buf), 4096))...)
		}
		n, err := read(fd, buf[size:])
		if err != nil {
			return nil, buf, err
		}
		if n == 0 {
			return buf[:size], buf, nil
		}
		size += n
	}
}

// listing goes through the names of a directory with one reused buffer:
// os.File.Readdirnames makes a string of each of 100,000.
type listing struct {
	fd       int
	buf      []byte
	pos, end int
	inode    uint64 // of the entry that next returned.
}

// list opens the directory; its names are read into buf.
func list(dir int, path, buf []byte) (listing, error) {
	fd, err := open(dir, path, unix.O_RDONLY|unix.O_DIRECTORY)
	return listing{fd: fd, buf: buf}, err
}

// close ends the listing.
func (l *listing) close() { _ = unix.Close(l.fd) }

// next returns the next name, valid until the next call, or nil at the end.
func (l *listing) next() ([]byte, error) {
	// struct linux_dirent64: ino and off (8 bytes each), reclen (2), type (1),
	// name, NUL.
	const reclenAt, nameAt = 16, 19
	for l.pos >= l.end {
		n, err := unix.Getdents(l.fd, l.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return nil, err
		}
		l.pos, l.end = 0, n
	}
	entry := l.buf[l.pos:l.end]
	if len(entry) <= nameAt {
		return nil, errDamaged
	}
	length := int(binary.NativeEndian.Uint16(entry[reclenAt:]))
	if length <= nameAt || length > len(entry) {
		return nil, errDamaged
	}
	l.pos += length
	l.inode = binary.NativeEndian.Uint64(entry)
	name := entry[nameAt:length]
	for i, c := range name {
		if c == 0 {
			return name[:i], nil
		}
	}
	return name, nil
}

// gone tells whether the error means that the process has vanished.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// exhausted tells whether the error is about us and not about what we read.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}

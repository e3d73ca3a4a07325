// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// longName is the length of names that need memory of their own.
const longName = 188

// small makes n small files, hard links or negative dentries in a directory. No
// name is used twice.
func (l *load) small(verb, dir string, n int64) error {
	first := filepath.Join(dir, "first")
	if verb == "links" {
		if err := os.WriteFile(first, nil, 0o600); err != nil {
			return err
		}
	}
	for range n {
		l.made++
		name := filepath.Join(dir, strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(l.made))
		if verb == "names" || verb == "links" {
			name += strings.Repeat("x", longName-len(filepath.Base(name)))
		}
		var err error
		switch verb {
		case "files", "names":
			err = os.WriteFile(name, nil, 0o600)
		case "kibs":
			err = os.WriteFile(name, make([]byte, 1024), 0o600)
		case "links":
			err = os.Link(first, name)
		default: // dentries: of files that are not there.
			if _, err = os.Lstat(name); errors.Is(err, os.ErrNotExist) {
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pipes keeps n bytes in pipes that nobody reads.
func (l *load) pipes(n int64) error {
	return l.fill(n, func() (int, int, error) {
		var p [2]int
		err := syscall.Pipe2(p[:], syscall.O_NONBLOCK)
		return p[0], p[1], err
	})
}

// sockets keeps n bytes in sockets that nobody reads.
func (l *load) sockets(n int64) error {
	return l.fill(n, func() (int, int, error) {
		p, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
		return p[0], p[1], err
	})
}

// fill writes n bytes to as many pairs of descriptors as that takes.
func (l *load) fill(n int64, open func() (int, int, error)) error {
	block := make([]byte, 4096)
	for n > 0 {
		if l.full {
			_, into, err := open()
			if err != nil {
				return err
			}
			l.into, l.full = into, false
		}
		wrote, err := syscall.Write(l.into, block)
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		l.full = err != nil
		n -= int64(max(wrote, 0))
	}
	l.full = true // the next may be of the other kind.
	return nil
}

// tables makes page tables of n bytes, by reading one page of each 2 MiB: all of
// these are the zero page.
func tables(n int64) error {
	const reach = 2 << 20
	b, err := syscall.Mmap(-1, 0, int(n/int64(os.Getpagesize())*reach), syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return err
	}
	if err := unix.Madvise(b, unix.MADV_NOHUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	var sum byte
	for i := 0; i < len(b); i += reach {
		sum += b[i]
	}
	runtime.KeepAlive(sum)
	return nil
}

// hugetlb takes n bytes of the machine's pool of huge pages of 2 MiB, and touches
// them: a page that cannot be charged ends the process now, not later.
func (l *load) hugetlb(n int64) error {
	_, err := l.take(n, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_HUGETLB, -1)
	return err
}

// huge takes n bytes of anonymous memory in huge pages, where there are any.
func (l *load) huge(n int64) error {
	const size = 2 << 20
	b, err := syscall.Mmap(-1, 0, int(n)+size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return err
	}
	if err := unix.Madvise(b, unix.MADV_HUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	for i := 0; i < int(n); i += os.Getpagesize() {
		b[i] = 1
	}
	return nil
}

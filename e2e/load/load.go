// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// load is what the process has taken so far.
type load struct {
	count *atomic.Int64 // bytes that grow has touched, in a file the test maps.
	stop  *atomic.Int64 // the test sets it to end grow.
	idle  [2]int        // a pipe that threads wait on.
	made  int           // small files.
	into  int           // the pipe or socket that is being filled,
	full  bool          // and whether it is full.
}

// do carries out one command. All memory stays until the process ends.
func (l *load) do(c command) error {
	switch c.verb {
	case "anon":
		_, err := l.take(c.n, syscall.MAP_PRIVATE|syscall.MAP_ANON, -1)
		return err
	case "shmem":
		_, err := l.take(c.n, syscall.MAP_SHARED|syscall.MAP_ANON, -1)
		return err
	case "mlock":
		b, err := l.take(c.n, syscall.MAP_PRIVATE|syscall.MAP_ANON, -1)
		if err != nil || len(b) == 0 {
			return err
		}
		return syscall.Mlock(b)
	case "map":
		return l.mapFile(c.path, c.n)
	case "write", "sync":
		return writeFile(c.path, c.n, c.verb == "sync")
	case "read":
		return readFile(c.path, c.n)
	case "threads":
		return l.threads(c.n)
	case "files", "names", "kibs", "links", "dentries":
		return l.small(c.verb, c.path, c.n)
	case "pipes":
		return l.pipes(c.n)
	case "sockets":
		return l.sockets(c.n)
	case "tables":
		return tables(c.n)
	case "hugetlb":
		return l.hugetlb(c.n)
	case "thp":
		return l.huge(c.n)
	case "adj":
		return os.WriteFile("/proc/self/oom_score_adj", strconv.AppendInt(nil, c.n, 10), 0)
	case "count":
		return l.countIn(c.path)
	default: // grow
		return l.grow(c.n)
	}
}

// take maps n bytes and touches every page of them.
func (l *load) take(n int64, flags, fd int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	prot := syscall.PROT_READ
	if fd < 0 {
		prot |= syscall.PROT_WRITE
	}
	b, err := syscall.Mmap(fd, 0, int(n), prot, flags)
	if err != nil {
		return nil, err
	}
	var sum byte
	for i := 0; i < len(b); i += os.Getpagesize() {
		if fd < 0 {
			b[i] = 1
		}
		sum += b[i]
	}
	runtime.KeepAlive(sum)
	return b, nil
}

// mapFile maps a file that is there and reads n bytes of it.
func (l *load) mapFile(path string, n int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < n {
		return errors.New("the file is too short")
	}
	_, err = l.take(n, syscall.MAP_SHARED, int(f.Fd()))
	return err
}

// writeFile fills the page cache with n dirty bytes, or clean ones.
func writeFile(path string, n int64, sync bool) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for ; n > 0; n -= int64(len(block)) {
		if _, err := f.Write(block[:min(n, int64(len(block)))]); err != nil {
			return err
		}
	}
	if sync {
		return f.Sync()
	}
	return nil
}

// readFile reads n bytes, which makes cached pages active the second time.
func readFile(path string, n int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for ; n > 0; n -= int64(len(block)) {
		if _, err := f.Read(block[:min(n, int64(len(block)))]); err != nil {
			return err
		}
	}
	return nil
}

// threads starts n threads that wait for ever.
func (l *load) threads(n int64) error {
	if l.idle[0] == 0 {
		if err := syscall.Pipe(l.idle[:]); err != nil {
			return err
		}
	}
	for range n {
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(started)
			var b [1]byte
			_, _ = syscall.Read(l.idle[0], b[:])
		}()
		<-started
	}
	return nil
}

// countIn maps a file of at least 16 bytes: what grow has touched, and the
// test's word to stop. It outlives the process.
func (l *load) countIn(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, 16, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	l.count = (*atomic.Int64)(unsafe.Pointer(&b[0]))
	l.stop = (*atomic.Int64)(unsafe.Pointer(&b[8]))
	return nil
}

// grow takes n bytes of anonymous memory page by page and counts them.
func (l *load) grow(n int64) error {
	if l.count == nil {
		return errors.New("grow without count")
	}
	const chunk = 1 << 20
	page := os.Getpagesize()
	for ; n > 0; n -= chunk {
		b, err := syscall.Mmap(-1, 0, int(min(n, chunk)), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i += page {
			if l.stop.Load() != 0 {
				return nil
			}
			b[i] = 1
			l.count.Add(int64(page))
		}
	}
	return nil
}

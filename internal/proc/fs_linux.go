// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// FS is one proc file system, or a directory that looks like one. Its methods
// may be called concurrently; only those that share buffers wait for each other.
type FS struct {
	path     string
	root     *os.File
	dir      int // root's descriptor.
	lib      procfs.FS
	isProc   bool
	initNS   bool
	pageSize uint64
	max      int

	release oom.Release
	bootID  string

	scan  scanner
	exact exactReader
	node  nodeReader
	kills killReader
	quick quickReader
}

// New opens the tree at Root.
func New(o Options) (*FS, error) {
	root, err := os.Open(o.Root)
	if err != nil {
		return nil, fmt.Errorf("open proc file system: %w; mount it there or name its directory (--path.procfs)", err)
	}
	f := &FS{path: o.Root, root: root, dir: int(root.Fd()), pageSize: o.PageSize, max: o.MaxProcesses}
	if err := f.check(); err != nil {
		_ = root.Close()
		return nil, err
	}
	if f.lib, err = procfs.NewFS(o.Root); err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("open proc file system: %w", err)
	}
	f.release = oom.ParseRelease(f.sysctlText("kernel.osrelease"))
	f.bootID = validBootID(f.sysctlText("kernel.random.boot_id"))
	if f.pageSize == 0 {
		f.pageSize = uint64(os.Getpagesize())
	}
	if f.max <= 0 {
		f.max = 100_000
	}
	f.scan.dir, f.scan.raw = f.dir, f.isProc
	f.scan.refresh = f.refreshable(o.Refresh)
	f.kills.fd = -1
	f.initNS = f.isInitNamespace()
	return f, nil
}

// check tells a proc tree from any other directory.
func (f *FS) check() error {
	info, err := f.root.Stat()
	if err != nil {
		return fmt.Errorf("open proc file system: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("open proc file system: %s is not a directory; name the directory of one (--path.procfs)", f.path)
	}
	var where unix.Statfs_t
	if unix.Fstatfs(f.dir, &where) == nil {
		f.isProc = int64(where.Type) == unix.PROC_SUPER_MAGIC
	}
	_, noMeminfo := f.read("meminfo")
	_, noRelease := f.read("sys/kernel/osrelease")
	if noMeminfo == nil || noRelease == nil {
		return nil
	}
	return fmt.Errorf("find a proc file system in %s: read meminfo: %w; read sys/kernel/osrelease: %w; mount one there or name its directory (--path.procfs)",
		f.path, noMeminfo, noRelease)
}

// refreshable returns the Options.Refresh to use: 1 before 5.9, where oom_score
// stayed at 0 for small processes, and on a tree of plain files, where a new
// process need not have a new inode.
func (f *FS) refreshable(every int) uint64 {
	if !f.isProc || every < 1 || !f.release.AtLeast(5, 9) {
		return 1
	}
	return uint64(every)
}

// Close gives the descriptors back; nothing may be called after it.
func (f *FS) Close() error {
	f.kills.close()
	return f.root.Close()
}

// read reads one file of the tree, off the hot path.
func (f *FS) read(name string) ([]byte, error) {
	content, _, err := readAll(f.dir, append([]byte(name), 0), nil)
	runtime.KeepAlive(f.root)
	return content, err
}

// isInitNamespace tells whether the tree shows the init pid namespace, where
// process 1 is never killed: only there are kernel threads, the first of them
// process 2. A tree of plain files is taken for a whole host's.
func (f *FS) isInitNamespace() bool {
	content, err := f.read("2/stat")
	if err != nil {
		return !f.isProc
	}
	s, err := parseStat(content)
	return err == nil && s.isKthread()
}

// Hidepid tells whether other users' processes are hidden from us, by the
// mount's hidepid option or by a security module. Process 1 is the test: every
// proc file system has one, and it is rarely ours.
func (f *FS) Hidepid() bool {
	_, err := f.read("1/statm")
	switch {
	case err == nil:
		return false
	case gone(err):
		return f.isProc
	default:
		return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package act is the real side of package guard: it reads the memory hierarchy
// and is the only package of ours that writes to it or kills. Nothing that the
// exporter is made of may depend on it.
//
// What it writes: memory.force_empty and cgroup.event_control on v1,
// memory.reclaim, cgroup.freeze and cgroup.kill on v2, a PSI trigger in
// /proc/pressure/memory; and it sends SIGKILL, by pidfd where the kernel has
// them; and the signals that are asked for. Of the limits it writes memory.high on
// v2, if throttling is asked for, and puts it back.
package act

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/proc"
)

// Names says who the groups are; package workload has one.
type Names interface {
	Name(tree *oom.Tree)
	Identify(path string) (oom.Identity, bool)
}

// Options of a Kernel.
type Options struct {
	Procfs, Sysfs string
	MaxGroups     int
	MaxProcesses  int // of one group; more are not looked at, and nobody is killed.
	Names         Names
	KillSwitch    string // a file; where it is, nothing is killed. Empty: none.
	// ThrottleFile records which groups are throttled.
	ThrottleFile string
	// Runtime ends containers by their runtime; nil: by the kernel.
	Runtime Runtime
	// KubeRoot is the group that kubelet's own root lies in, "" for the root.
	KubeRoot string
}

// Runtime ends a container at once; package act has one for CRI.
type Runtime interface {
	Stop(ctx context.Context, containerID string) error
	// Main returns the first process of a container that runs, and its pod's UID.
	Main(ctx context.Context, containerID string) (pid int32, podUID string, err error)
}

// Kernel is the running kernel. It implements guard's Kernel, Reclaimer and
// Killer.
type Kernel struct {
	o       Options
	scanned *cgroup.Hierarchy // for passes over all groups.
	single  *cgroup.Hierarchy // for one group, so that it need not wait for a pass.
	proc    *proc.FS

	throttles throttles
}

// New opens the hierarchy.
func New(o Options) (*Kernel, error) {
	if o.MaxProcesses <= 0 {
		o.MaxProcesses = 10000
	}
	k := &Kernel{o: o, throttles: throttles{file: o.ThrottleFile}}
	var err error
	co := cgroup.Options{Sysfs: o.Sysfs, Procfs: o.Procfs, MaxGroups: o.MaxGroups}
	if k.scanned, err = cgroup.Find(co); err != nil {
		return nil, err
	}
	co.Parts = cgroup.PartSwap | cgroup.PartProtection
	if k.single, err = cgroup.Find(co); err != nil {
		return nil, err
	}
	if k.proc, err = proc.New(proc.Options{Root: o.Procfs}); err != nil {
		return nil, err
	}
	return k, nil
}

// Close gives the descriptors back.
func (k *Kernel) Close() error { return k.proc.Close() }

// Version returns 1 or 2, of the memory hierarchy.
func (k *Kernel) Version() int { return k.scanned.Version() }

// Scan implements guard.Kernel.
func (k *Kernel) Scan() (oom.Node, oom.Tree, error) {
	node, err := k.proc.Node()
	if err != nil {
		return node, oom.Tree{}, err
	}
	tree, _, err := k.scanned.Read()
	if err != nil {
		return node, tree, err
	}
	k.o.Names.Name(&tree)
	return node, tree, nil
}

// Group implements guard.Kernel.
func (k *Kernel) Group(path string) (oom.Group, error) {
	g, err := k.single.ReadGroup(path)
	return g, gone(err)
}

// Identify implements guard.Kernel.
func (k *Kernel) Identify(path string) (oom.Identity, bool) { return k.o.Names.Identify(path) }

// Off implements guard.Kernel: a switch that can't be looked at is thrown.
func (k *Kernel) Off() bool {
	if k.o.KillSwitch == "" {
		return false
	}
	_, err := os.Lstat(k.o.KillSwitch)
	return !errors.Is(err, fs.ErrNotExist)
}

// Recheck implements guard.Kernel: three small files, through one directory that
// stays the same group's.
func (k *Kernel) Recheck(id oom.GroupID) (guard.Reading, error) {
	var r guard.Reading
	dir, err := k.open(id)
	if err != nil {
		return r, err
	}
	defer dir.close()
	limit, kills := "memory.max", "memory.events"
	if k.Version() == 1 {
		limit, kills = "memory.limit_in_bytes", "memory.oom_control"
	}
	b, err := dir.read(limit)
	if err != nil {
		return r, gone(err)
	}
	r.Limit = parseLimit(b)
	if b, err = dir.read(kills); err == nil { // 3.10 counts none.
		r.Kills = parseKills(b)
	}
	if b, err = dir.read(usageFile(k.Version())); err != nil {
		return r, gone(err)
	}
	r.Usage, err = parseUsage(b)
	return r, err
}

// parseLimit reads a limit; what is no number, or so large that v1 means none by
// it, does not limit.
func parseLimit(b []byte) oom.Amount {
	const none = 1 << 62 // PAGE_COUNTER_MAX, whatever the page size.
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n >= none {
		return oom.Unlimited()
	}
	return oom.Of(n)
}

// parseKills finds oom_kill among lines of "key number".
func parseKills(b []byte) oom.Amount {
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "oom_kill "); ok {
			if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64); err == nil {
				return oom.Of(n)
			}
		}
	}
	return oom.Amount{}
}

func usageFile(version int) string {
	if version == 1 {
		return "memory.usage_in_bytes"
	}
	return "memory.current"
}

func parseUsage(b []byte) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse usage %.40q: %w", b, err)
	}
	return n, nil
}

// dir is the open directory of one group. It stays that group's whatever
// happens to its path.
type dir struct {
	fd   int
	path string
}

// open opens the directory of a group if its path is still its own.
func (k *Kernel) open(id oom.GroupID) (*dir, error) {
	path := filepath.Join(k.scanned.Mount(), filepath.FromSlash(id.Path))
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, gone(&fs.PathError{Op: "open", Path: path, Err: err})
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != id.Inode {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open %s: %w", path, guard.ErrGone)
	}
	return &dir{fd, path}, nil
}

func (d *dir) close() { _ = unix.Close(d.fd) }

// file opens one of the group's files.
func (d *dir) file(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(d.fd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(d.path, name), Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, name)), nil
}

func (d *dir) read(name string) ([]byte, error) {
	f, err := d.file(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b strings.Builder
	if _, err := f.WriteTo(&b); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// write writes a file that must be there: it makes none.
func (d *dir) write(name, text string) error {
	f, err := d.file(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// gone gives the kernel's ways to say that a group has vanished one name.
func gone(err error) error {
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%w: %w", guard.ErrGone, err)
	}
	return err
}

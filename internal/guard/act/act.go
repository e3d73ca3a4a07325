// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package act is the real side of package guard: it reads the memory hierarchy
// and is the only package of ours that writes to it or kills. No package of the
// exporter may depend on it.
//
// It writes memory.force_empty and cgroup.event_control on v1, memory.reclaim,
// cgroup.freeze and cgroup.kill on v2, and a PSI trigger in /proc/pressure/memory.
// It sends SIGKILL, and other signals if they are asked for, by pidfd where the
// kernel has it. The only limit that it writes is memory.high on v2, if throttling
// is asked for; it puts that back.
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

// Names identifies the groups; oom_guard has it from package workload.
type Names interface {
	Name(tree *oom.Tree)
	Identify(path string) (oom.Identity, bool)
}

// Options of a Kernel.
type Options struct {
	Procfs, Sysfs string
	MaxGroups     int
	MaxProcesses  int // of one group; where there are more, none is killed.
	Names         Names
	KillSwitch    string // a file; while it exists, nothing is killed. Empty: none.
	// ThrottleFile records which groups are throttled.
	ThrottleFile string
	// Runtime ends containers through their runtime; nil: the kernel does.
	Runtime Runtime
	// KubeRoot is the group that kubelet's own root lies in, "" for the root.
	KubeRoot string
}

// Runtime ends a container at once; CRI implements it.
type Runtime interface {
	Stop(ctx context.Context, containerID string) error
	// Main returns the first process of a running container, and its pod's UID.
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

// Off implements guard.Kernel: a switch that can't be looked at counts as thrown.
func (k *Kernel) Off() bool {
	if k.o.KillSwitch == "" {
		return false
	}
	_, err := os.Lstat(k.o.KillSwitch)
	return !errors.Is(err, fs.ErrNotExist)
}

// Recheck implements guard.Kernel: it reads three small files through one open
// directory, so that all are of the same group.
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
	if b, err = dir.read(kills); err == nil { // unset where the kernel counts no kills.
		r.Kills = parseKills(b)
	}
	if b, err = dir.read(usageFile(k.Version())); err != nil {
		return r, gone(err)
	}
	r.Usage, err = parseUsage(b)
	return r, err
}

// parseLimit reads a limit. What is not a number, or is so large that v1 means no
// limit by it, is unlimited.
func parseLimit(b []byte) oom.Amount {
	const none = 1 << 62 // v1's "no limit" on 64 bits is above, whatever the page size.
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

// write writes to a file that must exist: it creates none.
func (d *dir) write(name, text string) error {
	f, err := d.file(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// gone adds guard.ErrGone to the errors by which the kernel says that something
// has vanished.
func gone(err error) error {
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%w: %w", guard.ErrGone, err)
	}
	return err
}

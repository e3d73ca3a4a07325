// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	_ "embed" // the object.
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

//go:embed cgroups_bpfel.o
var cgroupsObject []byte

// Cgroups lists all memory cgroups of a hierarchy. It is safe for concurrent use.
type Cgroups struct {
	objects *ebpf.Collection
	link    int // of the program and the hierarchy; negative: none.
	found   *ebpf.Memory

	mu  sync.Mutex
	buf []byte
}

// OpenCgroups loads the program for the hierarchy that is mounted at a directory. The
// error is an *UnavailableError, of ErrOldKernel before Linux 6.1.
func OpenCgroups(o Options, dir string) (*Cgroups, error) {
	return withMemory(func() (*Cgroups, error) { return openCgroups(o, dir) })
}

func openCgroups(o Options, dir string) (_ *Cgroups, err error) {
	c := &Cgroups{link: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	choose := func(spec *ebpf.CollectionSpec, types *btf.Spec) error {
		var context *btf.Struct
		if types.TypeByName("bpf_iter__cgroup", &context) != nil {
			return ErrOldKernel
		}
		if o.MaxCgroups > 0 {
			spec.Maps["found"].MaxEntries = uint32(min(o.MaxCgroups, mostCgroups))
		}
		return nil
	}
	if c.objects, err = o.Kernel.load(cgroupsObject, choose); err != nil {
		return nil, err
	}
	if c.found, err = c.objects.Maps["found"].Memory(); err != nil {
		return nil, fmt.Errorf("map the table of cgroups: %w", err)
	}
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	if c.link, err = attachToCgroups(c.objects.Programs["cgroups"].FD(), int(root.Fd())); err != nil {
		return nil, fmt.Errorf("attach to the cgroups at %s: %w", dir, err)
	}
	return c, nil
}

// mostCgroups bounds the memory of the kernel that the list takes: 14.5 MiB.
const mostCgroups = 1 << 16

// Read returns the numbers of all cgroups in the memory of dst, parents before their
// children. The error is errTooMany where there are more than it has room for.
func (c *Cgroups) Read(dst []oom.CgroupNumbers) ([]oom.CgroupNumbers, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dst = dst[:0]
	if c.link < 0 {
		return dst, os.ErrClosed
	}
	var count, over uint32 // the program is not asked about a root that is gone, and leaves them as they are.
	found, rest := c.objects.Variables["count"], c.objects.Variables["over"]
	if err := errors.Join(found.Set(count), rest.Set(over)); err != nil {
		return dst, err
	}
	if err := c.pass(); err != nil {
		return dst, err
	}
	if err := errors.Join(found.Get(&count), rest.Get(&over)); err != nil {
		return dst, err
	}
	if count == 0 {
		return dst, errNone
	}
	if over > 0 {
		return dst, fmt.Errorf("%w: %d", errTooMany, int(count)+int(over))
	}
	size := int(count) * numbersBytes
	if cap(c.buf) < size {
		c.buf = make([]byte, size+size/8)
	}
	b := c.buf[:size]
	if _, err := c.found.ReadAt(b, 0); err != nil {
		return dst, fmt.Errorf("read the table of cgroups: %w", err)
	}
	unit := uint64(os.Getpagesize())
	for ; len(b) > 0; b = b[numbersBytes:] {
		dst = append(dst, decodeNumbers(b, unit))
	}
	return dst, nil
}

var (
	errTooMany = errors.New("too many cgroups")
	errNone    = errors.New("the root of the cgroups is gone, or has no memory controller")
)

// pass has the program run once for each cgroup.
func (c *Cgroups) pass() error {
	fd, err := iterate(c.link)
	if err != nil {
		return fmt.Errorf("begin a pass over the cgroups: %w", err)
	}
	pass := os.NewFile(uintptr(fd), "cgroups")
	defer func() { _ = pass.Close() }()
	if _, err := pass.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("pass over the cgroups: %w", err)
	}
	return nil
}

// Close ends it, but not during a Read: that may be stuck in the kernel.
func (c *Cgroups) Close() error {
	if !c.mu.TryLock() {
		return errors.New("the cgroups are being listed")
	}
	defer c.mu.Unlock()
	var err error
	if c.link >= 0 {
		err = unix.Close(c.link)
	}
	if c.objects != nil {
		c.objects.Close()
	}
	c.link, c.objects, c.found = -1, nil, nil
	return err
}

// The library can't attach to cgroups: these are the calls themselves, see bpf(2) and
// union bpf_attr in linux/bpf.h.
const (
	cmdLinkCreate = 28
	cmdIterCreate = 33
	traceIter     = 28 // the type of attachment.
	parentsFirst  = 2  // the order.
)

func attachToCgroups(program, dir int) (link int, err error) {
	info := struct{ order, dir, _, _ uint32 }{order: parentsFirst, dir: uint32(dir)}
	return call(cmdLinkCreate, &struct {
		program, target, attach, flags uint32
		info                           unsafe.Pointer
		infoBytes                      uint32
		_                              [28]byte
	}{program: uint32(program), attach: traceIter, info: unsafe.Pointer(&info), infoBytes: uint32(unsafe.Sizeof(info))})
}

func iterate(link int) (fd int, err error) {
	return call(cmdIterCreate, &struct{ link, flags uint32 }{link: uint32(link)})
}

func call[T any](cmd uintptr, attr *T) (fd int, err error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
	if errno != 0 {
		return -1, errno
	}
	unix.CloseOnExec(int(n))
	return int(n), nil
}

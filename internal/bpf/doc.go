// SPDX-License-Identifier: Apache-2.0

// Package bpf loads small programs into the kernel to learn, at the moment of a
// kill, what the kernel's files tell too late: which process the OOM killer
// takes, in which cgroup, and whose allocation was the reason. It is optional:
// docs/bpf.md says what it needs, and where it can't be used an error says why.
//
// The programs are in src, and their objects, which the package embeds, are made
// by make bpf. They read the kernel's structs by field name; the offsets are
// resolved when a program is loaded (CO-RE), so that one object fits all kernels
// that describe their types (BTF).
package bpf

import (
	"errors"
	"fmt"
)

// Options say what is loaded.
type Options struct {
	// Kernel is what the programs are fitted to.
	Kernel *Kernel
	// RingBytes is the size of the buffer for what is not read yet: a power of two
	// and at least a page; 0: enough for some 800 victims.
	RingBytes uint32
	// MaxProcesses bounds how many processes are listed; 0: all are.
	MaxProcesses int
	// MaxCgroups bounds how many cgroups there is room for, at 232 bytes of kernel memory
	// each; 0: 16,384.
	MaxCgroups int
}

// UnavailableError says why BPF can't be used here, and how it could.
type UnavailableError struct {
	Err    error
	Remedy string
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%v; remedy: %s", e.Err, e.Remedy)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// ErrOldKernel is the cause where only a newer kernel can do it.
var ErrOldKernel = errors.New("this kernel has no iterator over cgroups")

// Remedy takes an error apart into what can be done about it, which is empty where nothing
// is known, and its cause.
func Remedy(err error) (remedy string, cause error) {
	if why := (*UnavailableError)(nil); errors.As(err, &why) {
		return why.Remedy, why.Err
	}
	return "", err
}

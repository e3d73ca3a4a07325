// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Kernel is the running kernel's description of its own types. To read it takes some
// 10 MiB, so those who load several programs share one until it is forgotten.
type Kernel struct {
	path string

	mu    sync.Mutex
	types *btf.Spec // nil until it is needed.
}

// NewKernel returns the kernel that describes its types in a file such as
// /sys/kernel/btf/vmlinux, which is read when the first program is loaded.
func NewKernel(path string) *Kernel { return &Kernel{path: path} }

// Forget gives the memory back. Whoever loads a program afterwards reads it anew.
func (k *Kernel) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.types = nil
}

func (k *Kernel) read() (*btf.Spec, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.types != nil {
		return k.types, nil
	}
	types, err := btf.LoadSpec(k.path)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's types: %w", err)
	}
	k.types = types
	return types, nil
}

// load loads the programs of an object; choose takes out what this kernel can't have.
func (k *Kernel) load(object []byte, choose func(*ebpf.CollectionSpec, *btf.Spec) error) (*ebpf.Collection, error) {
	types, err := k.read()
	if err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	if err := choose(spec, types); err != nil {
		return nil, err
	}
	return ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{KernelTypes: types}})
}

// withMemory opens something, and once more without a limit on locked memory if it is
// refused: kernels before 5.11 charge BPF's memory against that.
func withMemory[T any](open func() (T, error)) (T, error) {
	opened, err := open()
	if errors.Is(err, unix.EPERM) && raiseMemlock() == nil {
		opened, err = open()
	}
	if err != nil {
		return opened, unavailable(err)
	}
	return opened, nil
}

func raiseMemlock() error {
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited)
}

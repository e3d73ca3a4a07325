// SPDX-License-Identifier: Apache-2.0

//go:build !(linux && (amd64 || arm64))

package bpf

import (
	"context"
	"errors"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Kernel is the running kernel's description of its own types.
type Kernel struct{}

// NewKernel returns one that describes nothing.
func NewKernel(string) *Kernel { return &Kernel{} }

// Forget does nothing.
func (*Kernel) Forget() {}

// Victims tells of the processes that the OOM killer takes; the programs exist
// only for Linux on amd64 and arm64.
type Victims struct{}

// OpenVictims returns an *UnavailableError.
func OpenVictims(Options) (*Victims, error) {
	return nil, &UnavailableError{errors.ErrUnsupported, "Linux on amd64 or arm64"}
}

// Run returns an error.
func (*Victims) Run(context.Context, func(oom.Sighting), func(uint64)) error {
	return errors.ErrUnsupported
}

// Close does nothing.
func (*Victims) Close() error { return nil }

// Processes lists processes; the program exists only for Linux on amd64 and arm64.
type Processes struct{}

// OpenProcesses returns an *UnavailableError.
func OpenProcesses(Options) (*Processes, error) {
	return nil, &UnavailableError{errors.ErrUnsupported, "Linux on amd64 or arm64"}
}

// Scan returns an error.
func (*Processes) Scan(dst []oom.Process) ([]oom.Process, oom.Skipped, error) {
	return dst[:0], oom.Skipped{}, errors.ErrUnsupported
}

// Close does nothing.
func (*Processes) Close() error { return nil }

// Cgroups lists memory cgroups; the program exists only for Linux on amd64 and arm64.
type Cgroups struct{}

// OpenCgroups returns an *UnavailableError.
func OpenCgroups(Options, string) (*Cgroups, error) {
	return nil, &UnavailableError{errors.ErrUnsupported, "Linux on amd64 or arm64"}
}

// Read returns an error.
func (*Cgroups) Read(dst []oom.CgroupNumbers) ([]oom.CgroupNumbers, error) {
	return dst[:0], errors.ErrUnsupported
}

// Close does nothing.
func (*Cgroups) Close() error { return nil }

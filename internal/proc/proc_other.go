// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package proc

import (
	"errors"
	"fmt"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// FS does nothing on this system: New never returns one.
type FS struct{}

// New always fails: only Linux has this file system.
func New(o Options) (*FS, error) {
	return nil, fmt.Errorf("read %s: only Linux has this: %w", o.Root, errors.ErrUnsupported)
}

// Close does nothing.
func (f *FS) Close() error { return nil }

// Node fails.
func (f *FS) Node() (oom.Node, error) { return oom.Node{}, errors.ErrUnsupported }

// OOMKills fails.
func (f *FS) OOMKills() (oom.Amount, error) { return oom.Amount{}, errors.ErrUnsupported }

// Scan fails.
func (f *FS) Scan(dst []oom.Process, _ []int32) ([]oom.Process, oom.Skipped, error) {
	return dst[:0], oom.Skipped{}, errors.ErrUnsupported
}

// Exact fails.
func (f *FS) Exact(*oom.Process) error { return errors.ErrUnsupported }

// Refresh fails.
func (f *FS) Refresh(*oom.Process) error { return errors.ErrUnsupported }

// Cgroup fails.
func (f *FS) Cgroup(int32) (string, error) { return "", errors.ErrUnsupported }

// Hidepid tells nothing.
func (f *FS) Hidepid() bool { return false }

// Resident fails.
func (f *FS) Resident(int32) (uint64, error) { return 0, errors.ErrUnsupported }

// NodeMemory fails.
func (f *FS) NodeMemory(*oom.Sample) error { return errors.ErrUnsupported }

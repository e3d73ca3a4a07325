// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Hierarchy exists on other systems only so that the parts of the program that
// need no cgroups build there.
type Hierarchy struct{}

// Find fails: only Linux has cgroups.
func Find(Options) (*Hierarchy, error) {
	return nil, fmt.Errorf("%w: %s has no cgroups", ErrNoHierarchy, runtime.GOOS)
}

// Version returns 0.
func (h *Hierarchy) Version() int { return 0 }

// Mount returns nothing.
func (h *Hierarchy) Mount() string { return "" }

// Read fails.
func (h *Hierarchy) Read() (oom.Tree, oom.Skipped, error) {
	return oom.Tree{}, oom.Skipped{}, ErrNoHierarchy
}

// Use does nothing.
func (h *Hierarchy) Use(Numbers, func(error)) {}

// ListError says that there is no list.
func (h *Hierarchy) ListError() error { return errors.ErrUnsupported }

// ReadKills fails.
func (h *Hierarchy) ReadKills() (oom.Tree, oom.Skipped, error) {
	return oom.Tree{}, oom.Skipped{}, ErrNoHierarchy
}

// ReadPIDs does nothing.
func (h *Hierarchy) ReadPIDs(*oom.Tree) {}

// Recycle does nothing.
func (h *Hierarchy) Recycle(oom.Tree) {}

// ReadGroup fails.
func (h *Hierarchy) ReadGroup(string) (oom.Group, error) { return oom.Group{}, ErrNoHierarchy }

// Watch fails.
func (h *Hierarchy) Watch(context.Context, WatchOptions) (<-chan struct{}, error) {
	return nil, ErrNoHierarchy
}

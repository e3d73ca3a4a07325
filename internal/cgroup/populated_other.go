// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cgroup

import "github.com/oom-exporter/oom_exporter/internal/oom"

// Populated returns false: only Linux has cgroups.
func (h *Hierarchy) Populated(oom.GroupID) bool { return false }

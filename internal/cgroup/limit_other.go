// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cgroup

import "github.com/oom-exporter/oom_exporter/internal/oom"

// Limit returns nothing: only Linux has cgroups.
func (h *Hierarchy) Limit(oom.GroupID) (limit, hits oom.Amount) { return limit, hits }

// Kills returns nothing.
func (h *Hierarchy) Kills(oom.GroupID) (kills oom.Amount) { return kills }

// OwnLimit returns nothing.
func OwnLimit(Options) (limit oom.Amount, err error) { return limit, ErrNoHierarchy }

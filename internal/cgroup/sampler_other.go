// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cgroup

import "github.com/oom-exporter/oom_exporter/internal/oom"

// SamplerOptions tune a Sampler.
type SamplerOptions struct{ MaxGroups, MaxFiles int }

// Sampler exists on other systems only so that the program builds there.
type Sampler struct{}

// Sampler fails.
func (h *Hierarchy) Sampler(SamplerOptions) (*Sampler, error) { return nil, ErrNoHierarchy }

// Close does nothing.
func (s *Sampler) Close() error { return nil }

// Find fails.
func (s *Sampler) Find(func(oom.CgroupHandle) bool) ([]oom.CgroupHandle, []oom.FoundCgroup, error) {
	return nil, nil, ErrNoHierarchy
}

// Over returns 0.
func (s *Sampler) Over() int { return 0 }

// Cost returns 0.
func (s *Sampler) Cost() int { return 0 }

// Usages reads nothing.
func (s *Sampler) Usages([]oom.CgroupHandle, []oom.Amount) {}

// Limit returns nothing.
func (s *Sampler) Limit(oom.CgroupHandle) oom.Amount { return oom.Amount{} }

// Sample returns nothing.
func (s *Sampler) Sample(oom.CgroupHandle, *oom.Sample) bool { return false }

// PIDs returns nothing.
func (s *Sampler) PIDs(dst []int32, _ oom.CgroupHandle, _ int) []int32 { return dst }

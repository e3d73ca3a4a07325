// SPDX-License-Identifier: Apache-2.0

// Package recorder is a flight recorder: it keeps the recent past of every
// memory cgroup and of the node, sampled on a clock of its own, and freezes a
// copy when the kernel has killed. It never claims to have more samples than it
// has.
package recorder

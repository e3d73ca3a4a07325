// SPDX-License-Identifier: Apache-2.0

// Package predict computes what the kernel will do when memory runs out: how
// much may still be allocated before it must kill, and whom it kills then. It
// is pure: snapshots in, numbers out.
//
// The margins follow what reclaim can and cannot free (mm/vmscan.c), the
// victims follow mm/oom_kill.c of the running kernel's release. The kernel
// keeps per-CPU counters, so no prediction of a near tie can be certain.
package predict

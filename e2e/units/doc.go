// SPDX-License-Identifier: Apache-2.0

// Package units runs unit tests that make cgroups, or have the kernel load programs, in
// guests: on cgroup v2 and on other kernels than the host's.
package units

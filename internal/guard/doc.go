// SPDX-License-Identifier: Apache-2.0

// Package guard decides what to do about a memory cgroup (a group, for short)
// that is about to reach its limit, before the kernel has to act: it watches
// usage against a threshold below the limit, has reclaim tried first, and only
// then names a process or a container to kill. It writes nothing and kills nobody
// itself: what it sees and does goes through interfaces, such as those in
// kernel.go, that package act implements.
//
// In doubt it does nothing. The kernel's OOM killer is still there to do what the
// guard does not.
package guard

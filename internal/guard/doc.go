// SPDX-License-Identifier: Apache-2.0

// Package guard decides what to do about a group that is about to reach its
// memory limit, before the kernel has to: it watches usage against a threshold
// below the limit, has reclaim tried first, and only then names a process or a
// container to kill. It writes nothing and kills nobody itself: what it sees
// and does goes through the interfaces in kernel.go, whose real side is in
// package act.
//
// Every doubt ends in doing nothing. The kernel is still there: what the guard
// leaves, the OOM killer does.
package guard

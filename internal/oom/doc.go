// SPDX-License-Identifier: Apache-2.0

// Package oom is the vocabulary of the exporter: what a node, a memory cgroup,
// a process and an OOM kill are, in the field's own terms. It does no I/O and
// imports no other package of ours.
package oom

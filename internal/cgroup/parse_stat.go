// SPDX-License-Identifier: Apache-2.0

package cgroup

import "github.com/oom-exporter/oom_exporter/internal/oom"

// parseStatV1 reads a v1 memory.stat into s. Only the total_ keys count: the
// others leave the descendants out. total_cache contains total_shmem, as file
// contains shmem on v2. Kernel memory is in a file of its own.
func parseStatV1(b []byte, s *oom.Stat) {
	for {
		key, value, rest, ok := nextPair(b)
		if !ok {
			return
		}
		b = rest
		if len(key) < 6 || string(key[:6]) != "total_" {
			continue
		}
		switch string(key[6:]) {
		case "rss":
			s.Anon = amountOf(value)
		case "rss_huge":
			s.AnonHuge = amountOf(value)
		case "cache":
			s.File = amountOf(value)
		case "shmem":
			s.Shmem = amountOf(value)
		case "swap":
			s.Swap = amountOf(value)
		case "inactive_file":
			s.InactiveFile = amountOf(value)
		case "active_file":
			s.ActiveFile = amountOf(value)
		case "unevictable":
			s.Unevictable = amountOf(value)
		}
	}
}

// parseStatV2 reads a v2 memory.stat, whose values include descendants.
func parseStatV2(b []byte, s *oom.Stat) {
	var stack, slab, percpu, sock, tables oom.Amount
	for {
		key, value, rest, ok := nextPair(b)
		if !ok {
			break
		}
		b = rest
		switch string(key) {
		case "anon":
			s.Anon = amountOf(value)
		case "anon_thp":
			s.AnonHuge = amountOf(value)
		case "file":
			s.File = amountOf(value)
		case "shmem":
			s.Shmem = amountOf(value)
		case "kernel":
			s.Kernel = amountOf(value)
		case "inactive_file":
			s.InactiveFile = amountOf(value)
		case "active_file":
			s.ActiveFile = amountOf(value)
		case "unevictable":
			s.Unevictable = amountOf(value)
		case "slab_reclaimable":
			s.SlabReclaimable = amountOf(value)
		case "kernel_stack":
			stack = amountOf(value)
		case "slab":
			slab = amountOf(value)
		case "percpu":
			percpu = amountOf(value)
		case "sock":
			sock = amountOf(value)
		case "pagetables":
			tables = amountOf(value)
		}
	}
	// The kernel key came with 5.18. Before that, the sum of its visible parts
	// stands in for it: without vmalloc (and, before 5.15, page tables), but with
	// the socket buffers, which "kernel" leaves out.
	if !s.Kernel.IsSet() {
		s.Kernel = sumOfSet(stack, slab, percpu, sock, tables)
	}
}

// sumOfSet adds the amounts that are set; with none of them, the sum is unset.
func sumOfSet(amounts ...oom.Amount) oom.Amount {
	var sum oom.Amount
	for _, a := range amounts {
		switch {
		case !a.IsSet():
		case !sum.IsSet():
			sum = a
		default:
			sum = sum.Plus(a)
		}
	}
	return sum
}

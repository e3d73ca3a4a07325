// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// parseNodeSample fills a sample of the node from /proc/meminfo. Anon, File and
// Shmem mean the same as in memory.stat: File includes Shmem.
func parseNodeSample(b []byte, out *oom.Sample) {
	var free, available, cached, buffers, slab, stack, tables oom.Amount
	for {
		key, value, ok := cutField(&b)
		if !ok {
			break
		}
		var field *oom.Amount
		switch string(key) {
		case "MemTotal":
			field = &out.Limit
		case "MemFree":
			field = &free
		case "MemAvailable":
			field = &available
		case "AnonPages":
			field = &out.Anon
		case "Shmem":
			field = &out.Shmem
		case "Cached":
			field = &cached
		case "Buffers":
			field = &buffers
		case "Slab":
			field = &slab
		case "KernelStack":
			field = &stack
		case "PageTables":
			field = &tables
		default:
			continue
		}
		*field = parseKiB(value)
	}
	out.Usage, out.Unreclaimable = less(out.Limit, free), less(out.Limit, available)
	out.File = cached.Plus(oom.Of(buffers.Or(0)))
	out.Kernel = slab.Plus(oom.Of(stack.Or(0))).Plus(oom.Of(tables.Or(0)))
}

// less subtracts b from a, down to 0; unset where either is.
func less(a, b oom.Amount) oom.Amount {
	n, ok := a.Get()
	m, ok2 := b.Get()
	if !ok || !ok2 {
		return oom.Amount{}
	}
	return oom.Of(n - min(n, m))
}

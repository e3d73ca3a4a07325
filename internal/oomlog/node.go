// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// maxPages keeps products with a page size from overflowing.
const maxPages = 1 << 44

// add reads one line of show_mem(), which begins with "Mem-Info:". It tells
// whether the line is one of those that matter.
func (n *NodeMemory) add(s string, pageSize uint64) bool {
	if isCounters(s) {
		n.addCounters(s, pageSize)
		return true
	}
	if n.addSlab(s) {
		return true
	}
	if size, ok := parseSwap(s, "Total swap"); ok {
		n.SwapTotal = size
		return true
	}
	if size, ok := parseSwap(s, "Free swap"); ok {
		n.SwapFree = size
		return true
	}
	digits, what, _ := strings.Cut(s, " ")
	switch what {
	case "pages RAM":
		n.RAM = pages(digits, pageSize)
	case "pages reserved":
		n.Reserved = pages(digits, pageSize)
	default:
		return false
	}
	return true
}

// isCounters tells whether a line is of the machine-wide counters: the first
// of them, or one of the others where each has a prefix of its own.
func isCounters(s string) bool {
	key, rest, ok := strings.Cut(strings.TrimLeft(s, " "), ":")
	number, _, _ := strings.Cut(rest, " ")
	number, _, _ = strings.Cut(number, "\n")
	if !ok || !allDigits(number) {
		return false
	}
	switch key {
	case "active_anon", "active_file", "unevictable", "slab_reclaimable", "mapped", "free":
		return true
	default:
		return false
	}
}

// isNodeLine tells whether a line is one of show_mem().
func isNodeLine(s string) bool {
	var n NodeMemory
	return n.add(s, 4096) && n != (NodeMemory{})
}

const slabTitle = "Unreclaimable slab info:"

// addSlab reads a line about an unreclaimable slab cache, `kmalloc-8k 1234KB
// 2345KB`, and keeps the largest.
func (n *NodeMemory) addSlab(s string) bool {
	f := strings.Fields(s)
	if len(f) != 3 || !strings.HasSuffix(f[1], "KB") || !strings.HasSuffix(f[2], "KB") {
		return false
	}
	size, ok := parseKB(f[2]).Get()
	if ok && size > n.LargestSlab.Size.Or(0) {
		n.LargestSlab = Slab{Name: f[0], Size: oom.Of(size)}
	}
	return ok
}

// parseSwap parses "Free swap  = 4kB".
func parseSwap(s, key string) (oom.Amount, bool) {
	after, ok := strings.CutPrefix(s, key)
	value, ok2 := strings.CutPrefix(strings.TrimLeft(after, " "), "= ")
	if !ok || !ok2 {
		return oom.Amount{}, false
	}
	return parseKB(value), true
}

// addCounters reads the machine-wide counters, in pages: one record with
// newlines in it, or a part of it.
func (n *NodeMemory) addCounters(s string, pageSize uint64) {
	for field := range strings.FieldsSeq(s) {
		key, value, _ := strings.Cut(field, ":")
		size := pages(value, pageSize)
		if !size.IsSet() {
			continue
		}
		switch key {
		case "active_anon":
			n.Anon = size
		case "inactive_anon", "isolated_anon":
			n.Anon = n.Anon.Plus(size)
		case "active_file":
			n.File = size
		case "inactive_file", "isolated_file":
			n.File = n.File.Plus(size)
		case "shmem":
			n.Shmem = size
		case "unevictable":
			n.Unevictable = size
		case "free":
			n.Free = size
		case "slab_reclaimable":
			n.Slab = size
		case "slab_unreclaimable":
			n.Unreclaimable = size
		}
	}
}

func pages(digits string, pageSize uint64) oom.Amount {
	n, ok := parseNumber(digits).Get()
	if !ok || n >= maxPages {
		return oom.Amount{}
	}
	return oom.Of(n * pageSize)
}

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
	if strings.HasPrefix(s, "active_anon:") {
		n.addCounters(s, pageSize)
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
	n.Anon, n.File = oom.Of(0), oom.Of(0)
	for field := range strings.FieldsSeq(s) {
		key, value, _ := strings.Cut(field, ":")
		size := pages(value, pageSize)
		if !size.IsSet() {
			continue
		}
		switch key {
		case "active_anon", "inactive_anon", "isolated_anon":
			n.Anon = n.Anon.Plus(size)
		case "active_file", "inactive_file", "isolated_file":
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

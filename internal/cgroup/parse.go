// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// unlimitedFrom is where v1 limits stop being limits. The kernel's "no limit" is
// (LONG_MAX/page)*page, which depends on the page size, and was LONG_MAX before
// 3.19; all of them lie above 2^62.
const unlimitedFrom = 1 << 62

// parseUint reads a decimal number that fills all of b. Anything else, including
// a number of 2^64 or more, is not a number.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (1<<64-1)/10 || n*10 > 1<<64-1-d {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// amountOf is parseUint as an Amount.
func amountOf(b []byte) oom.Amount {
	n, ok := parseUint(b)
	if !ok {
		return oom.Amount{}
	}
	return oom.Of(n)
}

// parseNumber reads a file that holds one number, or "max".
func parseNumber(b []byte) oom.Amount {
	b = bytes.TrimSuffix(b, []byte("\n"))
	if string(b) == "max" {
		return oom.Unlimited()
	}
	return amountOf(b)
}

// parseLimitV1 reads a v1 limit. A 32-bit kernel says "no limit" with 2^31-1
// pages instead (PAGE_COUNTER_MAX in include/linux/page_counter.h).
func parseLimitV1(b []byte, pageSize int) oom.Amount {
	a := parseNumber(b)
	if n, ok := a.Get(); ok && (n >= unlimitedFrom || n == (1<<31-1)*uint64(pageSize)) {
		return oom.Unlimited()
	}
	return a
}

// nextLine takes the next whole line off b. A last line without a newline was
// cut: its number can't be trusted, so it is dropped.
func nextLine(b []byte) (line, rest []byte, ok bool) {
	line, rest, ok = bytes.Cut(b, []byte("\n"))
	if !ok {
		return nil, nil, false
	}
	return line, rest, true
}

// nextPair takes the next "key value" line off b.
func nextPair(b []byte) (key, value, rest []byte, ok bool) {
	line, rest, ok := nextLine(b)
	key, value, _ = bytes.Cut(line, []byte(" "))
	return key, value, rest, ok
}

// parsePIDs appends the process ids of whole lines of cgroup.procs to pids and
// returns what is left of an unfinished last line. The kernel prints 0 for a
// process that this pid namespace does not see.
func parsePIDs(pids []int32, b []byte) ([]int32, []byte) {
	for {
		line, rest, ok := nextLine(b)
		if !ok {
			return pids, b
		}
		b = rest
		if n, ok := parseUint(line); ok && n > 0 && n < 1<<31 {
			pids = append(pids, int32(n))
		}
	}
}

// maxNode bounds node numbers: the kernel's MAX_NUMNODES is at most 1,024.
const maxNode = 4096

// parseNodes appends the numbers of a list such as "0-3,5" to nodes; ok is false
// where b is no such list.
func parseNodes(nodes []int, b []byte) (_ []int, ok bool) {
	b = bytes.TrimSuffix(b, []byte("\n"))
	if len(b) == 0 {
		return nodes, true
	}
	for part := range bytes.SplitSeq(b, []byte(",")) {
		first, last, isRange := bytes.Cut(part, []byte("-"))
		from, ok1 := parseUint(first)
		to, ok2 := from, ok1
		if isRange {
			to, ok2 = parseUint(last)
		}
		if !ok1 || !ok2 || from > to || to > maxNode {
			return nodes, false
		}
		for n := from; n <= to && len(nodes) <= maxNode; n++ {
			nodes = append(nodes, int(n))
		}
	}
	return nodes, true
}

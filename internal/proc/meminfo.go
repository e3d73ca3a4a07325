// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// parseMeminfo fills the node's sizes from /proc/meminfo. A line that is
// missing or cannot be understood leaves its size unset: an old kernel has no
// MemAvailable (3.14) and no KReclaimable (4.20).
//
// Hugetlb is the pools of all hugepage sizes; older kernels tell only of the
// default size. The Meminfo of package procfs has no KReclaimable, and fails as
// a whole on one line that it cannot parse.
func parseMeminfo(b []byte, n *oom.Node) {
	var pages, size oom.Amount
	for {
		key, value, ok := cutField(&b)
		if !ok {
			break
		}
		var field *oom.Amount
		switch string(key) {
		case "MemTotal":
			field = &n.Total
		case "MemFree":
			field = &n.Free
		case "MemAvailable":
			field = &n.Available
		case "SwapTotal":
			field = &n.SwapTotal
		case "SwapFree":
			field = &n.SwapFree
		case "Active(file)":
			field = &n.ActiveFile
		case "Inactive(file)":
			field = &n.InactiveFile
		case "KReclaimable":
			field = &n.KReclaimable
		case "SReclaimable":
			field = &n.SReclaimable
		case "Hugetlb":
			field = &n.Hugepages
		case "Hugepagesize":
			field = &size
		case "HugePages_Total":
			pages = parseAmount(bytes.TrimSpace(value))
			continue
		default:
			continue
		}
		*field = parseKiB(value)
	}
	if n.Hugepages.IsSet() || !pages.IsValue() || !size.IsValue() {
		return
	}
	if total, fits := times(pages.Or(0), size.Or(0)); fits {
		n.Hugepages = oom.Of(total)
	}
}

// parseVMStat finds one counter of /proc/vmstat. It is unset where there is no
// such line, and where the line is not complete (yet).
func parseVMStat(b []byte, key string) oom.Amount {
	for len(b) > 0 {
		line, whole := cutLine(&b)
		if !whole || len(line) <= len(key) || line[len(key)] != ' ' || string(line[:len(key)]) != key {
			continue
		}
		return parseAmount(line[len(key)+1:])
	}
	return oom.Amount{}
}

// validBootID returns the boot id if it is one, 36 hex digits and dashes, else
// nothing: it is compared with the one in the state file, and written there.
func validBootID(id string) string {
	if len(id) != 36 || strings.Trim(id, "0123456789abcdef-") != "" {
		return ""
	}
	return id
}

// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// parseMeminfo fills the node's sizes from /proc/meminfo. A line that is
// missing or cannot be understood leaves its size unset: an old kernel has no
// MemAvailable (3.14) and no KReclaimable (4.20).
//
// Hugetlb is the pools of all hugepage sizes; older kernels tell only of the
// default size.
func parseMeminfo(b []byte, n *oom.Node) {
	var pages, size oom.Amount
	for len(b) > 0 {
		line, whole := cutLine(&b)
		key, value, found := bytes.Cut(line, []byte(":"))
		if !found || !whole {
			continue
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

// parsePressure reads /proc/pressure/memory:
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=1234
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=567
//
// total is in microseconds.
func parsePressure(b []byte) oom.Pressure {
	var p oom.Pressure
	for len(b) > 0 {
		line, whole := cutLine(&b)
		_, total, found := bytes.Cut(line, []byte(" total="))
		if !found || !whole {
			continue
		}
		switch {
		case bytes.HasPrefix(line, []byte("some ")):
			p.WaitingMicros = parseAmount(total)
		case bytes.HasPrefix(line, []byte("full ")):
			p.StalledMicros = parseAmount(total)
		}
	}
	return p
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

// parseKernelStat reads the boot time, in seconds since the epoch, and the
// number of online CPUs from /proc/stat.
func parseKernelStat(b []byte) (btime oom.Amount, cpus int) {
	for len(b) > 0 {
		line, whole := cutLine(&b)
		if !whole {
			continue
		}
		switch {
		case len(line) > 3 && string(line[:3]) == "cpu" && line[3] >= '0' && line[3] <= '9':
			cpus++
		case bytes.HasPrefix(line, []byte("btime ")):
			btime = parseAmount(line[len("btime "):])
		}
	}
	return btime, cpus
}

// parseBootID checks a boot id, since it ends up in file contents and tests
// for sameness: 36 hex digits and dashes, or nothing.
func parseBootID(b []byte) string {
	b = bytes.TrimSpace(b)
	if len(b) != 36 {
		return ""
	}
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-' {
			return ""
		}
	}
	return string(b)
}

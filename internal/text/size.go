// SPDX-License-Identifier: Apache-2.0

package text

import (
	"fmt"
	"math"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// Size prints a number of bytes for people: 512.0 MiB, 64 KiB, 12.5 GiB.
func Size(n uint64) string {
	switch {
	case n < mib && n%kib == 0 && n > 0:
		return fmt.Sprintf("%d KiB", n/kib)
	case n >= 10*gib:
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
}

// Bytes prints a size in at most nine columns: 20.0 MiB.
func Bytes(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), -1
	for f >= 1024 && unit < len(units)-1 {
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[unit])
}

// Percent prints a ratio in whole percent. It is 0% or 100% only where it is
// next to nothing or next to all, and never above 999%.
func Percent(ratio float64) string {
	p := 100 * min(ratio, 9.99)
	switch {
	case p > 0.05 && p < 1, p > 99 && p < 99.95:
		return fmt.Sprintf("%.1f%%", p)
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}

// Duration prints a time for people, in two significant digits or so: 0.3 s,
// 41 s, 41 min, 3 h 20 min, 12 days.
func Duration(d time.Duration) string {
	switch {
	case d < 0: // the least has no opposite.
		return "-" + Duration(-max(d, -math.MaxInt64))
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 119500*time.Millisecond:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	d = d.Round(time.Minute)
	hours, minutes := int(d/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case hours < 2:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case hours >= 72:
		return fmt.Sprintf("%d days", (hours+12)/24)
	case minutes == 0:
		return fmt.Sprintf("%d h", hours)
	}
	return fmt.Sprintf("%d h %d min", hours, minutes)
}

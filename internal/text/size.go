// SPDX-License-Identifier: Apache-2.0

package text

import (
	"fmt"
	"math"
	"time"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// Size prints a number of bytes in a sentence: as Bytes, but a few GiB in MiB,
// since a tenth of a GiB is too coarse for a limit: 1536.0 MiB.
func Size(n uint64) string {
	if n >= gib && n < 10*gib {
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return Bytes(n)
}

// Bytes prints a size in at most ten columns: 20.0 MiB.
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

// Signed prints a size that may be negative, such as a badness: -1.5 GiB.
func Signed(n int64) string {
	if n < 0 {
		return "-" + Bytes(-uint64(n)) // also the minimum, which can't be negated.
	}
	return Bytes(uint64(n))
}

// Percent prints a ratio in whole percent, and with a decimal close to 0% and 100%.
// It is never above 999%.
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
	case d < 0: // the minimum can't be negated.
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

// SPDX-License-Identifier: Apache-2.0

package text

import (
	"fmt"
	"time"
)

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

// Duration prints a duration with its largest unit, or two of them below ten
// hours: 40 s, 3 min, 2 h 5 min, 3 days.
func Duration(d time.Duration) string {
	d = max(d, 0)
	switch hours := int(d.Hours()); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case hours < 1:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case hours < 10 && int(d.Minutes())%60 != 0:
		return fmt.Sprintf("%d h %d min", hours, int(d.Minutes())%60)
	case hours < 48:
		return fmt.Sprintf("%d h", hours)
	default:
		return fmt.Sprintf("%d days", hours/24)
	}
}

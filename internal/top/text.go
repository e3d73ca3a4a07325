// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"unicode/utf8"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// human prints a size in at most nine columns.
func human(n uint64) string {
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

// signed prints a badness, which may be negative.
func signed(n int64) string {
	if n < 0 {
		return "-" + human(uint64(-n))
	}
	return human(uint64(n))
}

// size prints an amount: a dash where it is not limited or not known.
func size(a oom.Amount) string {
	n, ok := a.Get()
	if !ok {
		return "-"
	}
	return human(n)
}

func percent(ratio float64) string {
	return fmt.Sprintf("%.0f%%", 100*min(ratio, 9.99))
}

// fit cuts or pads a text to a width; what is cut is at the end.
func fit(s string, width int) string {
	return fmt.Sprintf("%-*s", width, cut(s, width))
}

// fitLeft cuts at the beginning: of a path, the end tells more.
func fitLeft(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return "~" + string(r[len(r)-width+1:])
}

// cut shortens a text to a number of columns. Wide characters count as one and
// may shift a line.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "~"
}

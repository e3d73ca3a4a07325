// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"unicode/utf8"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// size prints an amount: a dash where it is unlimited or unknown.
func size(a oom.Amount) string {
	n, ok := a.Get()
	if !ok {
		return "-"
	}
	return text.Bytes(n)
}

// fit cuts or pads a text to a width; what is cut is at the end.
func fit(s string, width int) string {
	return fmt.Sprintf("%-*s", width, cut(s, width))
}

// fitMiddle cuts in the middle: of a name, the beginning says whose it is and
// the end what.
func fitMiddle(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	head := (width - 1) / 3
	return string(r[:head]) + "~" + string(r[len(r)-(width-1-head):])
}

// cut shortens a text to a number of columns. Wide characters count as one and
// may shift a line.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "~"
}

// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

const (
	minWidth   = 40
	unbounded  = 1 << 16
	barWidth   = 8
	wideEnough = 100 // the width from which the limit gets a column.
)

// Colours, used only where Options.Color is set.
const (
	plain  = ""
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	dim    = "\x1b[2m"
	reset  = "\x1b[0m"

	reverse = "\x1b[7m" // the chosen row.
)

// page is text under construction, each line no wider than the terminal.
type page struct {
	b     strings.Builder
	width int
	color bool
	lines int
}

// line adds one line; style is a colour or plain.
func (p *page) line(style, text string) {
	text = cut(text, p.width)
	if p.color && style != plain {
		text = style + text + reset
	}
	p.b.WriteString(strings.TrimRight(text, " "))
	p.b.WriteByte('\n')
	p.lines++
}

func newPage(o Options) *page {
	if o.Width == 0 {
		return &page{width: unbounded, color: o.Color}
	}
	return &page{width: max(minWidth, o.Width), color: o.Color}
}

// share is the width of the table column of names: room, or as wide as the
// longest name where the page has no bound.
func (p *page) share(room int, names []string) int {
	if p.width < unbounded {
		return room
	}
	longest := 0
	for _, n := range names {
		longest = max(longest, utf8.RuneCountInString(n))
	}
	return max(24, longest)
}

// Render draws a frame.
func Render(f *Frame, o Options) string {
	p := newPage(o)
	header(p, f)
	table(p, f, o)
	if o.Status != "" {
		p.line(dim, o.Status)
	}
	return p.b.String()
}

// Once draws all panes below each other.
func Once(f *Frame, o Options) string {
	p := newPage(o)
	header(p, f)
	o.Height = 0
	for o.Pane = range panes {
		table(p, f, o)
	}
	return p.b.String()
}

// table is the pane below the header.
func table(p *page, f *Frame, o Options) {
	p.line(plain, "")
	var rows []row
	switch o.Pane {
	case Processes:
		rows = processRows(p, f, o)
	case Protection:
		rows = protectionRows(p, f, o)
	default:
		rows = containerRows(p, f, o)
	}
	body(p, rows, o)
}

// row is one line of a table.
type row struct{ style, text string }

// body adds the rows that fit and says how many do not.
func body(p *page, rows []row, o Options) {
	room := len(rows)
	if o.Height > 0 {
		room = o.Height - p.lines - 1
		if o.Status != "" {
			room--
		}
	}
	room = max(room, 1)
	from := max(0, min(o.Cursor-room+1, len(rows)-room))
	to := min(len(rows), from+room)
	for i, r := range rows[from:to] {
		if o.Height > 0 && from+i == o.Cursor {
			r.style += reverse
		}
		p.line(r.style, r.text)
	}
	if hidden := len(rows) - (to - from); hidden > 0 {
		p.line(dim, fmt.Sprintf("... %d more", hidden))
	}
	if len(rows) == 0 {
		p.line(dim, "nothing to show"+filtered(o))
	}
}

func filtered(o Options) string {
	if o.Filter == "" {
		return ""
	}
	return fmt.Sprintf(" for %q", o.Filter)
}

// header is the node: how close it is to a kill, and who dies first.
func header(p *page, f *Frame) {
	p.line(bold, fmt.Sprintf("oom_exporter top  %s  %s", f.Host, f.Time.Format("2006-01-02 15:04:05")))
	n := f.Node
	if n == nil {
		return
	}
	node := fmt.Sprintf("node      %s of memory", size(n.Total))
	style := plain
	if n.Margin.Known {
		node = fmt.Sprintf("node      kill margin %s of %s, used %s", text.Bytes(n.Margin.Bytes), size(n.Total), used(n.Margin.Ratio))
		style = alarm(n.Margin.Ratio)
	}
	p.line(style, node)
	if a, ok := n.EvictionAvailable.Get(); ok {
		t := n.EvictionThreshold.Or(0)
		left, by := "above", a-min(a, t)
		if a < t {
			left, by = "BELOW", t-a
		}
		p.line(plain, fmt.Sprintf("eviction  %s %s kubelet's threshold of %s", text.Bytes(by), left, text.Bytes(t)))
	}
	if v := f.victims()[""]; v != nil {
		p.line(plain, "next      "+victim(v, true))
	}
	if kills, ok := n.OOMKills.Get(); ok {
		p.line(plain, fmt.Sprintf("kills     %d since boot; vm.panic_on_oom=%s vm.oom_kill_allocating_task=%s", kills, n.PanicOnOOM, n.KillAllocatingTask))
	}
}

// victim says who dies.
func victim(v *oom.NextVictim, where bool) string {
	p := &v.Process
	if p.PID == 0 {
		return "nobody can be killed"
	}
	who := fmt.Sprintf("%s (%d)", text.Escape(p.Comm), p.PID)
	if v.All > 1 {
		who += fmt.Sprintf(" +%d", v.All-1)
	}
	if where {
		who += " of " + text.Escape(name(p.Workload))
	}
	if v.Tie {
		who += " or another of its size"
	}
	return who
}

// alarm is the colour of a margin ratio.
func alarm(ratio float64) string {
	switch {
	case ratio < 0.05:
		return red
	case ratio < 0.10:
		return yellow
	default:
		return plain
	}
}

// used is the share of a limit that reclaim cannot free, in figures and as a
// bar.
func used(ratioLeft float64) string {
	share := 1 - min(max(ratioLeft, 0), 1)
	n := int(share*barWidth + 0.5)
	return fmt.Sprintf("%3.0f%% [%s%s]", 100*share, strings.Repeat("#", n), strings.Repeat(".", barWidth-n))
}

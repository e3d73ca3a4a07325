// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// WhyOptions say how Why presents a kill.
type WhyOptions struct {
	Width    int // of the terminal; 80 if 0.
	Color    bool
	Location *time.Location
}

// The least and the greatest width of the page; wider ones are hard to read.
const (
	minWhyWidth     = 40
	maxWhyWidth     = 140
	defaultWhyWidth = 80
)

// Why tells why one kill came about: the sentence, the curve, what grew, and
// what to do.
func Why(w io.Writer, k *Kill, o WhyOptions) error {
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.Width == 0 {
		o.Width = defaultWhyWidth
	}
	o.Width = min(max(o.Width, minWhyWidth), maxWhyWidth)
	p := &whyPage{printer: printer{w: bufio.NewWriter(w), opts: Options{Color: o.Color}}, width: o.Width}
	p.head(k, o.Location)
	v := k.Verdict
	if v == nil {
		v = &Verdict{Cause: string(oom.CauseUnknown), Sentence: "Not known: this exporter kept no verdict of the kill."}
	}
	p.paragraph("", p.cause(v))
	p.line("")
	p.paragraph("", Clean(v.Sentence, maxPath))
	p.curve(k)
	p.growth(v)
	if v.Advice != "" {
		p.line("")
		p.paragraph("What to do: ", Clean(v.Advice, maxPath))
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("write why: %w", err)
	}
	return nil
}

// whyPage is a printer of a given width.
type whyPage struct {
	printer
	width int
}

func (p *whyPage) paragraph(lead, words string) {
	for i, line := range foldText(words, p.width-len(lead)) {
		if i > 0 {
			lead = strings.Repeat(" ", len(lead))
		}
		p.line(lead + line)
	}
}

func (p *whyPage) head(k *Kill, loc *time.Location) {
	kill := k.OOM()
	words := fmt.Sprintf("%s: %s (pid %d) killed", orDash(Workload(&kill)), orDash(Clean(k.Victim.Comm, maxComm)), k.Victim.PID)
	if k.Time != nil {
		words += " at " + k.Time.In(loc).Format("2006-01-02 15:04:05")
	}
	if k.ID != "" {
		words += ", kill " + Clean(k.ID, maxComm)
	}
	for _, line := range foldText(words, p.width) {
		p.line(p.bold(line))
	}
}

func (p *whyPage) cause(v *Verdict) string {
	words := "Cause: " + Clean(v.Cause, maxComm)
	if v.Grew != "" {
		words += ", of " + Clean(v.Grew, maxComm) + " memory"
	}
	if v.Confidence != "" {
		words += " (" + Clean(v.Confidence, maxComm) + " confidence)"
	}
	return words
}

// growth lists the processes and siblings.
func (p *whyPage) growth(v *Verdict) {
	if len(v.Processes) > 0 {
		p.line("")
		p.line("Processes:")
	}
	for _, g := range v.Processes {
		words := fmt.Sprintf("from %s to %s", text.Size(g.From), text.Size(g.To))
		if g.From == g.To {
			words = text.Size(g.To)
		}
		p.paragraph("  ", fmt.Sprintf("%s (pid %d): %s", Clean(g.Comm, maxComm), g.PID, words))
	}
	if len(v.Siblings) > 0 {
		p.line("")
		p.line("Below the same limit:")
	}
	for _, g := range v.Siblings {
		name := Workload(&oom.Kill{Workload: oom.Workload{Namespace: g.Namespace, Pod: g.Pod, Container: g.Container}})
		p.paragraph("  ", fmt.Sprintf("%s: from %s to %s", orDash(name), text.Size(g.From), text.Size(g.To)))
	}
}

// shortView is how much is drawn before a kill that came quickly, in seconds.
const shortView = 120.0

// viewFrom is where the curve begins: two minutes before the kill if at least half
// of the growth was in them, else at the first point.
func viewFrom(s *Series) float64 {
	from := s.Points[0].Seconds
	if from >= -shortView {
		return from
	}
	level := func(p *Point) float64 {
		if p.Unreclaimable == nil {
			return 0
		}
		return float64(*p.Unreclaimable)
	}
	end, short := level(&s.Points[len(s.Points)-1]), 0.0
	low := end
	for i := range s.Points {
		l := level(&s.Points[i])
		low = min(low, l)
		if s.Points[i].Seconds <= -shortView {
			short = l
		}
	}
	if end-short >= (end-low)/2 {
		return -shortView
	}
	return from
}

// curve draws the series.
func (p *whyPage) curve(k *Kill) {
	if k.Series == nil || len(k.Series.Points) < 2 {
		return
	}
	from := viewFrom(k.Series)
	if from >= 0 || math.IsNaN(from) || math.IsInf(from, 0) {
		return
	}
	const label = 11
	columns := p.width - label - 1
	top, cells := resample(k.Series, from, columns)
	if top == 0 {
		return
	}
	p.line("")
	p.paragraph("", fmt.Sprintf("%s, until the kill:", Clean(k.Series.Of, maxPath)))
	for row := curveRows - 1; row >= 0; row-- {
		mark := ""
		switch row {
		case curveRows - 1:
			mark = text.Size(uint64(top))
		case 0:
			mark = "0"
		}
		var b strings.Builder
		for i := range cells {
			b.WriteRune(cells[i].glyph(row, top))
		}
		p.line(fmt.Sprintf("%*s |%s", label-1, mark, b.String()))
	}
	begin := "-" + text.Duration(time.Duration(-from*float64(time.Second)))
	p.line(strings.Repeat(" ", label+1) + begin + strings.Repeat(" ", max(1, columns-len(begin)-4)) + "kill")
	p.line(strings.Repeat(" ", label+1) + "█ cannot be freed  ░ can be freed  ─ limit")
}

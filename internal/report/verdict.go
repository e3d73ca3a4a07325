// SPDX-License-Identifier: Apache-2.0

package report

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Verdict is why a kill came about, as far as the flight recorder has seen it.
type Verdict struct {
	Cause        string        `json:"cause"`
	Grew         string        `json:"grew,omitempty"`
	Confidence   string        `json:"confidence,omitempty"`
	Sentence     string        `json:"sentence,omitempty"`
	Advice       string        `json:"advice,omitempty"`
	AdvisedLimit *uint64       `json:"advised_limit_bytes,omitempty"`
	AtLeast      bool          `json:"advised_at_least,omitempty"`
	Processes    []TaskGrowth  `json:"processes,omitempty"`
	Siblings     []GroupGrowth `json:"siblings,omitempty"`
}

// TaskGrowth is by how much one process grew.
type TaskGrowth struct {
	PID  int32  `json:"pid"`
	Comm string `json:"comm"`
	From uint64 `json:"from_bytes"`
	To   uint64 `json:"to_bytes"`
}

// GroupGrowth is by how much another container below the same limit grew.
type GroupGrowth struct {
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Container string `json:"container,omitempty"`
	From      uint64 `json:"from_bytes"`
	To        uint64 `json:"to_bytes"`
}

// Series is what was recorded of the cgroup whose limit ran out.
type Series struct {
	Of     string  `json:"of"`
	Gap    float64 `json:"gap_seconds"`
	Points []Point `json:"points"`
}

// Point is one moment of a series.
type Point struct {
	Seconds       float64 `json:"seconds"`
	Usage         *uint64 `json:"usage_bytes,omitempty"`
	Unreclaimable *uint64 `json:"unreclaimable_bytes,omitempty"`
	Limit         *uint64 `json:"limit_bytes,omitempty"`
}

// The words for how sure a verdict is.
const (
	confidenceHigh = "high"
	confidenceLow  = "low"
)

// AddVerdicts adds to each kill what is known of its cause.
func (d *Document) AddVerdicts(of func(id string) (oom.Verdict, bool)) {
	for i := range d.Kills {
		d.Kills[i].addVerdict(of)
	}
}

func (k *Kill) addVerdict(of func(id string) (oom.Verdict, bool)) {
	if of == nil || k.ID == "" {
		return
	}
	if v, ok := of(k.ID); ok {
		k.Verdict = fromVerdict(&v)
	}
}

// AddSeries adds what was recorded of a kill.
func (k *Kill) AddSeries(of string, gap float64, points []oom.SeriesPoint) {
	k.Series = &Series{Of: Clean(of, maxPath), Gap: gap, Points: make([]Point, 0, len(points))}
	for _, p := range points {
		k.Series.Points = append(k.Series.Points, Point{Seconds: p.Seconds, Usage: ptr(p.Usage), Unreclaimable: ptr(p.Unreclaimable), Limit: ptr(p.Limit)})
	}
}

func fromVerdict(v *oom.Verdict) *Verdict {
	out := &Verdict{
		Cause: string(v.Cause), Grew: string(v.Grew), Sentence: Clean(v.Sentence, maxPath), Advice: Clean(v.Advice, maxPath),
		AdvisedLimit: ptr(v.AdvisedLimit), AtLeast: v.AtLeast,
	}
	if v.Cause != oom.CauseUnknown {
		out.Confidence = confidenceLow
		if v.Sure {
			out.Confidence = confidenceHigh
		}
	}
	for _, g := range v.Tasks {
		out.Processes = append(out.Processes, TaskGrowth{PID: g.PID, Comm: Clean(g.Comm, maxComm), From: g.From, To: g.To})
	}
	for _, g := range v.Siblings {
		w := g.Workload
		out.Siblings = append(out.Siblings, GroupGrowth{
			Namespace: Clean(w.Namespace, maxPath), Pod: Clean(w.Pod, maxPath), Container: Clean(w.Container, maxPath), From: g.From, To: g.To,
		})
	}
	return out
}

// VerdictFields returns the keys and values that a verdict adds to the log line
// of its kill.
func VerdictFields(v *oom.Verdict) []any {
	f := fields{}
	f.add("cause", string(v.Cause))
	f.text("grew", string(v.Grew))
	if v.Cause != oom.CauseUnknown {
		f.add("confidence", fromVerdict(v).Confidence)
	}
	f.text("why", v.Sentence)
	return f
}

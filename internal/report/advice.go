// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Advice is what one container's limit should be.
type Advice struct {
	Namespace  string  `json:"namespace,omitempty"`
	Pod        string  `json:"pod,omitempty"`
	Container  string  `json:"container,omitempty"`
	Limit      *uint64 `json:"limit_bytes,omitempty"`
	Peak       *uint64 `json:"peak_bytes,omitempty"`
	Advised    *uint64 `json:"advised_limit_bytes,omitempty"`
	AtLeast    bool    `json:"advised_at_least,omitempty"`
	Hours      float64 `json:"observed_hours"`
	Kills      uint64  `json:"kills"`
	Cause      string  `json:"cause,omitempty"`
	Confidence string  `json:"confidence"`
	Text       string  `json:"text"`
}

// FromAdvice returns the document of advice.
func FromAdvice(all []oom.Advice) Document {
	d := Document{Schema: Schema, Kills: []Kill{}, Advice: make([]Advice, 0, len(all))}
	for i := range all {
		a := &all[i]
		confidence := confidenceLow
		if a.Sure {
			confidence = confidenceHigh
		}
		d.Advice = append(d.Advice, Advice{
			Namespace: Clean(a.Workload.Namespace, maxPath), Pod: Clean(a.Workload.Pod, maxPath), Container: Clean(a.Workload.Container, maxPath),
			Limit: ptr(a.Limit), Peak: ptr(a.Peak), Advised: ptr(a.Advised), AtLeast: a.AtLeast, Hours: math.Round(a.Hours*10) / 10, Kills: a.Kills,
			Cause: string(a.Cause), Confidence: confidence, Text: Clean(a.Text, maxPath),
		})
	}
	return d
}

// AdviceTable lists advice: for each container a line of numbers and, below it,
// what to change.
func AdviceTable(w io.Writer, all []Advice) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WORKLOAD\tLIMIT\tPEAK\tADVISED\tSEEN\tKILLS\tCAUSE")
	for i := range all {
		a := &all[i]
		advised := "-"
		if a.Advised != nil {
			advised = plain(size(amount(a.Advised)))
			if a.AtLeast {
				advised = ">= " + advised
			}
		}
		name := Workload(&oom.Kill{Workload: oom.Workload{Namespace: a.Namespace, Pod: a.Pod, Container: a.Container}})
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%.1f h\t%d\t%s\n", orDash(name), plain(size(amount(a.Limit))), plain(size(amount(a.Peak))), advised, a.Hours, a.Kills, orDash(Clean(a.Cause, maxComm)))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return interleave(w, b.String(), func(row int) string { return all[row].Text })
}

// foldText folds a text between words into lines of at most room columns.
func foldText(text string, room int) []string {
	var lines []string
	for text != "" {
		n := foldAt(text, room)
		lines = append(lines, text[:n])
		text = strings.TrimLeft(text[n:], " ")
	}
	return lines
}

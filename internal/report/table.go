// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Table lists kills, one a line, and below each why it came about, if that is
// known.
func Table(w io.Writer, kills []Kill, opts Options) error {
	if opts.Location == nil {
		opts.Location = time.Local
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TIME\tWORKLOAD\tPID\tPROCESS\tRSS\tLIMIT OF\tNOTE")
	for i := range kills {
		kill := kills[i].OOM()
		k := &kill
		rss := "?"
		if k.Victim.AnonRSS.IsSet() {
			rss = size(oom.Of(k.Victim.AnonRSS.Or(0) + k.Victim.FileRSS.Or(0) + k.Victim.ShmemRSS.Or(0)))
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", tableTime(k, opts.Location), orDash(Workload(k)),
			k.Victim.PID, orDash(Clean(k.Victim.Comm, 24)), plain(rss), plain(limitOf(k)), notes(k))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	below := func(i int) string {
		if v := kills[i].Verdict; v != nil {
			return v.Sentence
		}
		return ""
	}
	table := b.String()
	if opts.NoHeading {
		_, table, _ = strings.Cut(table, "\n")
		table = "\n" + table
	}
	return interleave(w, table, below)
}

// interleave writes a table with a text, folded and indented, below each row.
func interleave(w io.Writer, table string, below func(row int) string) error {
	const indent = "    "
	out := bufio.NewWriter(w)
	row := -1 // the heading.
	for line := range strings.Lines(table) {
		if row >= 0 || line != "\n" { // not an empty heading.
			_, _ = out.WriteString(line)
		}
		if row >= 0 {
			for _, part := range foldText(Clean(below(row), maxPath), width-len(indent)) {
				_, _ = out.WriteString(indent + part + "\n")
			}
		}
		row++
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// Workload names a kill's workload as people do: namespace/pod/container, or
// as much of it as there is, else the victim's cgroup.
func Workload(k *oom.Kill) string {
	var parts []string
	for _, part := range []string{k.Workload.Namespace, k.Workload.Pod, k.Workload.Container} {
		if part != "" {
			parts = append(parts, Clean(part, 80))
		}
	}
	if len(parts) == 0 {
		return Clean(k.VictimPath, 80)
	}
	return strings.Join(parts, "/")
}

func tableTime(k *oom.Kill, loc *time.Location) string {
	switch {
	case !k.Time.IsZero() && k.Approximate:
		return "~" + k.Time.In(loc).Format("2006-01-02 15:04:05 MST")
	case !k.Time.IsZero():
		return k.Time.In(loc).Format("2006-01-02 15:04:05 MST")
	case k.Uptime > 0:
		return fmt.Sprintf("boot+%.3fs", k.Uptime.Seconds())
	default:
		return "-"
	}
}

func limitOf(k *oom.Kill) string {
	text := k.Level.String()
	if k.Level == oom.LevelUnknown && k.Global {
		text = "node"
	}
	if k.Limit.IsValue() {
		text += " (" + size(k.Limit) + ")"
	}
	return text
}

// notes are the circumstances that are worth a word.
func notes(k *oom.Kill) string {
	var words []string
	for _, n := range []struct {
		set  bool
		word string
	}{
		{k.GroupKill, "group"},
		{k.Duplicate, "duplicate"},
		{k.Sysrq, "sysrq"},
		{k.Allocating, "allocating task"},
		{k.Partial, "partial"},
		{k.History, "history"},
	} {
		if n.set {
			words = append(words, n.word)
		}
	}
	return strings.Join(words, ", ")
}

func plain(s string) string { return strings.ReplaceAll(s, glue, " ") }

func orDash(s string) string {
	if strings.TrimSpace(s) == "" {
		return "-"
	}
	return s
}

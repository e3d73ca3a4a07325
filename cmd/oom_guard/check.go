// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/guard/act"
	"github.com/oom-exporter/oom_exporter/internal/logging"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// check prints what is watched and what would be done about it now.
func check(c *config, std streams) error {
	logger, _, err := logging.New(std.err, c.logLevel, c.logFormat)
	if err != nil {
		return cli.UsageError{Err: err}
	}
	p, err := assemble(c, logger)
	if err != nil {
		return err
	}
	defer p.close()
	rows, err := p.guard.Check()
	if err != nil {
		return err
	}
	if err := table(std.out, c, rows, p.kernel.Off()); err != nil || act.HasPidfd() {
		return err
	}
	if _, err = fmt.Fprintln(std.out, withoutPidfd); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// withoutPidfd says how processes are killed before Linux 5.3, or where a seccomp
// filter denies the newer calls.
const withoutPidfd = "This kernel has no pidfds, or a seccomp filter denies them: processes are killed by pid, after a last check of their start time."

func table(w io.Writer, c *config, rows []guard.Row, off bool) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "WORKLOAD\tLEVEL\tLIMIT\tTHRESHOLD\tUSAGE\tRECLAIMABLE\tNOW\tCGROUP")
	for i := range rows {
		r := &rows[i]
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name(&r.Target), levelOf(r.Target.Kind), guard.Size(r.Target.Limit),
			guard.Size(r.Target.Threshold), guard.Size(r.Usage), guard.Size(r.Reclaimable), text.Clean(r.Would, 300), text.Clean(r.Target.Path, 300))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	switched := ""
	if off {
		switched = " The kill switch " + c.killSwitch + " is thrown: nothing is killed."
	}
	_, err := fmt.Fprintf(w, "\n%d groups are watched, with the policy %s.%s\n", len(rows), c.policy, switched)
	return err
}

func levelOf(k oom.Kind) string {
	switch k {
	case oom.KindPod:
		return "pod"
	case oom.KindSlice:
		return "slice"
	default:
		return "container"
	}
}

// name is a workload in one word.
func name(t *guard.Target) string {
	w := t.Workload
	parts := []string{w.Namespace, w.Pod, w.Container}
	full := strings.Trim(strings.Join(parts, "/"), "/")
	if full == "" {
		full = t.Path
	}
	return text.Clean(full, 200)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/tracefs"
)

const tracefsRemedy = "run as root, with tracefs mounted and writable; --events.tracefs=off silences this"

// traceAgain is the pause before a trace that has ended is begun again.
const traceAgain = time.Minute

// watchVictims lets the trace event name the victims in groups that are gone
// before anybody else can look.
func (e *events) watchVictims(c *config, h *cgroup.Hierarchy) {
	if c.tracefsMode == sourceOff || h == nil {
		return
	}
	o := tracefs.Options{
		Root: filepath.Join(c.sysfs, "kernel", "tracing"), Proc: c.procfs,
		Unified: h.Version() == 2, Namespace: ownNamespace(c.procfs, h),
	}
	if c.tracefsMode == sourceRequire {
		e.source("tracefs", false)
	}
	e.tasks = append(e.tasks, func(ctx context.Context) error {
		o.Started = func() { e.source("tracefs", true) }
		told := false
		for {
			err := tracefs.Run(ctx, o, func(v tracefs.Victim) {
				e.book.Witness(v.PID, v.Path, v.Time, v.Comm)
			})
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !told {
				_ = level.Warn(e.logger).Log("msg", "kills in groups that live for milliseconds may stay without a name", "err", err, "remedy", tracefsRemedy)
				told = true
			}
			if c.tracefsMode == sourceRequire || e.known("tracefs") {
				e.source("tracefs", false)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(traceAgain):
			}
		}
	})
}

// ownNamespace returns the path of the group that our cgroup namespace has as
// its root, / where we are in the host's, and "" where it can't be told:
// /proc/PID/cgroup is told from there.
func ownNamespace(procfs string, h *cgroup.Hierarchy) string {
	b, err := os.ReadFile(filepath.Join(procfs, "self", "cgroup"))
	tree, _, treeErr := h.Read()
	if err != nil || treeErr != nil {
		return ""
	}
	self := tracefs.GroupOf(b, h.Version() == 2)
	pid := int32(os.Getpid())
	for i := range tree.Groups {
		if slices.Contains(tree.Groups[i].PIDs, pid) {
			return filepath.Join("/", strings.TrimSuffix(tree.Groups[i].Path, strings.TrimSuffix(self, "/")))
		}
	}
	return ""
}

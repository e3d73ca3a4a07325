// SPDX-License-Identifier: Apache-2.0

package killfeed

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log/level"
	"github.com/prometheus/procfs"

	"github.com/oom-exporter/oom_exporter/internal/kernfs"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/tracefs"
)

const traceRemedy = "run as root, with tracefs mounted and writable; --events.tracefs=off silences this"

const (
	// traceAgain is the pause before a trace that has ended is begun again.
	traceAgain = time.Minute
	// lossAgain is the least time between two log lines about lost events.
	lossAgain = time.Minute
)

// addTrace adds the trace by tracefs, which names victims in cgroups that are gone
// before anybody else can look.
func (f *Feed) addTrace() {
	if f.o.TracefsMode == Off || f.o.TracefsMode == "" {
		return
	}
	if f.o.TracefsMode == Require {
		f.setSource(oom.ByTracefs, false)
	}
	h := f.o.Hierarchy
	o := tracefs.Options{
		Root: f.o.Tracefs, Proc: f.o.Procfs, Unified: h.Version() == 2, Namespace: f.cgroupNamespace(),
		Started: func() { f.traceStarted(oom.ByTracefs) }, Lost: f.traceLoss(),
	}
	f.tasks = append(f.tasks, func(ctx context.Context) error { return f.trace(ctx, o) })
}

// trace keeps the trace running until the context ends.
func (f *Feed) trace(ctx context.Context, o tracefs.Options) error {
	told := false
	for {
		err := tracefs.Run(ctx, o, func(v tracefs.Victim) {
			f.sink.Witness(oom.Sighting{By: oom.ByTracefs, Time: v.Time, Path: v.Path, Victim: oom.Victim{PID: v.PID, Comm: v.Comm}})
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !told {
			_ = level.Warn(f.o.Logger).Log("msg", "cannot trace victims: kills in short-lived containers may stay without a name",
				"err", err, "remedy", traceRemedy)
			told = true
		}
		if f.o.TracefsMode == Require || f.hasSource(oom.ByTracefs) {
			f.setSource(oom.ByTracefs, false)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(traceAgain):
		}
	}
}

func (f *Feed) traceStarted(source string) {
	f.setSource(source, true)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.traceLost = oom.Of(f.traceLost.Or(0))
}

// traceLoss makes the function that counts and logs the lost events of a trace. Only
// the goroutine that reads the trace calls it.
func (f *Feed) traceLoss() func(n uint64) {
	var told time.Time
	return func(n uint64) {
		f.mu.Lock()
		f.traceLost = oom.Of(f.traceLost.Or(0) + n)
		all := f.traceLost.Or(0)
		f.mu.Unlock()
		if now := time.Now(); told.IsZero() || now.Sub(told) >= lossAgain {
			told = now
			_ = level.Warn(f.o.Logger).Log("msg", "trace events lost: victims in short-lived containers may stay without a name; kill counts are not affected",
				"lost", n, "lost_in_all", all)
		}
	}
}

// cgroupNamespace returns the path of the cgroup that is the root of our cgroup
// namespace: / in the host's namespace, and "" if it can't be found out. Paths in
// /proc/PID/cgroup are relative to it.
func (f *Feed) cgroupNamespace() string {
	h := f.o.Hierarchy
	own, err := ownCgroups(f.o.Procfs)
	tree, _, treeErr := h.Read()
	if err != nil || treeErr != nil {
		return ""
	}
	self := kernfs.MemoryCgroup(own, h.Version() == 2)
	pid := int32(os.Getpid())
	for i := range tree.Groups {
		if slices.Contains(tree.Groups[i].PIDs, pid) {
			return filepath.Join("/", strings.TrimSuffix(tree.Groups[i].Path, strings.TrimSuffix(self, "/")))
		}
	}
	return ""
}

// ownCgroups returns the cgroups of this process in all hierarchies.
func ownCgroups(procRoot string) ([]procfs.Cgroup, error) {
	fs, err := procfs.NewFS(procRoot)
	if err != nil {
		return nil, err
	}
	self, err := fs.Self()
	if err != nil {
		return nil, err
	}
	return self.Cgroups()
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/proc"
)

// finding is what doctor has to say about one source.
type finding struct {
	source string
	state  string
	detail string
	remedy string // empty: nothing to mend.
}

// The states of a source.
const (
	stateOK      = "ok"
	stateLimited = "limited"
	stateMissing = "missing"
	stateNone    = "not there" // fine: this host has none.
)

// doctor says, source by source, what this host lets the exporter see, and
// how to mend each lack.
func doctor(_ context.Context, c *config, std streams) error {
	_, _ = fmt.Fprintf(std.out, "What oom_exporter can see here as uid %d:\n\n", os.Getuid())
	findings := c.examine()
	width := 0
	for _, f := range findings {
		width = max(width, len(f.source))
	}
	bad := 0
	for _, f := range findings {
		if err := f.print(std.out, width); err != nil {
			return err
		}
		if f.state == stateMissing || f.state == stateLimited {
			bad++
		}
	}
	verdict := "Everything that the exporter can use is there."
	if bad > 0 {
		verdict = fmt.Sprintf("%d of %d sources lack something; the exporter works without them, and knows less.", bad, len(findings))
	}
	_, err := fmt.Fprintf(std.out, "\n%s\n", verdict)
	return err
}

func (f finding) print(w io.Writer, width int) error {
	_, err := fmt.Fprintf(w, "  %-*s  %-9s  %s\n", width, f.source, f.state, f.detail)
	if err == nil && f.remedy != "" {
		_, err = fmt.Fprintf(w, "  %-*s  %-9s  -> %s\n", width, "", "", f.remedy)
	}
	return err
}

func (c *config) examine() []finding {
	fs, err := proc.New(proc.Options{Root: c.procfs})
	if err != nil {
		return []finding{{"processes", stateMissing, err.Error(), "mount the host's /proc and name it by --path.procfs"}}
	}
	defer func() { _ = fs.Close() }()
	findings := c.examineProc(fs)
	findings = append(findings, c.examineGroups(fs)...)
	findings = append(findings, c.examineLog(), c.examineTracefs())
	return append(findings, c.examineNames()...)
}

func (c *config) examineProc(fs *proc.FS) []finding {
	node, err := fs.Node()
	if err != nil {
		return []finding{{"node", stateMissing, err.Error(), "make " + c.procfs + "/meminfo readable"}}
	}
	list := []finding{{source: "node", state: stateOK, detail: fmt.Sprintf("Linux %s, %s", node.Release.Text, amount(node.Total))}}
	kills := finding{source: "kill counter", state: stateOK, detail: fmt.Sprintf("%s since boot (%s/vmstat oom_kill)", node.OOMKills, c.procfs)}
	if !node.OOMKills.IsValue() {
		kills = finding{"kill counter", stateMissing, "no oom_kill in " + c.procfs + "/vmstat: kills are counted by the kernel log", "a kernel of 4.13 or later"}
	}
	procs, skipped, err := fs.Scan(nil, nil)
	processes := finding{source: "processes", state: stateOK, detail: fmt.Sprintf("%d", len(procs))}
	switch {
	case err != nil:
		processes = finding{"processes", stateMissing, err.Error(), "mount the host's /proc and name it by --path.procfs"}
	case fs.Hidepid():
		processes = finding{"processes", stateLimited, fmt.Sprintf("%d seen; those of other users are hidden (hidepid)", len(procs)), "run as root, or mount /proc with gid=GROUP and add this user to GROUP"}
	case skipped.UnreadableProcesses > 0:
		processes = finding{"processes", stateLimited, fmt.Sprintf("%d read, %d refused", len(procs), skipped.UnreadableProcesses), "run as root, or look for a security module (SELinux, AppArmor) that refuses /proc/PID"}
	}
	return append(list, kills, processes)
}

func (c *config) examineGroups(fs *proc.FS) []finding {
	h, err := cgroup.Find(cgroup.Options{Sysfs: c.sysfs, Procfs: c.procfs, Parts: cgroup.PartProcs | cgroup.PartPressure | cgroup.PartSwap})
	if err != nil {
		return []finding{{"memory cgroups", stateMissing, err.Error(), "mount the host's cgroup tree and name the sys directory by --path.sysfs"}}
	}
	tree, skipped, err := h.Read()
	if err != nil {
		return []finding{{"memory cgroups", stateMissing, err.Error(), "make " + h.Mount() + " readable"}}
	}
	groups := finding{source: "memory cgroups", state: stateOK, detail: fmt.Sprintf("v%d at %s, %d groups", h.Version(), h.Mount(), len(tree.Groups))}
	if skipped.UnreadableGroups > 0 {
		groups.state, groups.remedy = stateLimited, "run as root, or make the groups readable"
		groups.detail += fmt.Sprintf(", %d refused", skipped.UnreadableGroups)
	}
	counters, pressure, known := 0, 0, 0
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if g.Events.OwnKills.IsValue() {
			counters++
		}
		if g.Pressure.StalledMicros.IsValue() {
			pressure++
		}
		known += len(g.PIDs)
	}
	list := []finding{groups}
	if counters == 0 && len(tree.Groups) > 1 {
		list = append(list, finding{"kills by group", stateMissing, "no group counts its kills", "a kernel of 4.13 or later"})
	}
	if h.Version() == 2 && pressure == 0 {
		list = append(list, finding{"pressure (PSI)", stateNone, "no memory.pressure: no oom_container_pressure_* series", "boot with psi=1, on a kernel with CONFIG_PSI"})
	}
	return append(list, c.examinePIDs(fs, &tree, known))
}

// examinePIDs finds out whether the pids in the groups' files are those of
// /proc: they are not in a container without the host's pid namespace.
func (c *config) examinePIDs(fs *proc.FS, tree *oom.Tree, known int) finding {
	procs, _, err := fs.Scan(nil, nil)
	if err != nil || len(procs) == 0 || known == 0 {
		return finding{"process to group", stateMissing, "no process can be found in its group", "host pid namespace (Kubernetes: hostPID: true; Docker: --pid=host)"}
	}
	seen := make(map[int32]bool, len(procs))
	for i := range procs {
		seen[procs[i].PID] = true
	}
	found := 0
	for i := range tree.Groups {
		for _, pid := range tree.Groups[i].PIDs {
			if seen[pid] {
				found++
			}
		}
	}
	if found*2 < len(procs) {
		return finding{"process to group", stateLimited, fmt.Sprintf("%d of %d processes are found in a group", found, len(procs)), "host pid namespace and the host's whole cgroup tree (Kubernetes: hostPID: true and a hostPath of /sys/fs/cgroup)"}
	}
	return finding{source: "process to group", state: stateOK, detail: fmt.Sprintf("%d of %d processes are found in a group", found, len(procs))}
}

func (c *config) examineLog() finding {
	how, err := killfeed.LogAccess(context.Background(), c.kmsg)
	if err != nil {
		return finding{"kernel log", stateMissing, err.Error() + ": kills are counted, without pid, comm and sizes", killfeed.LogRemedy}
	}
	return finding{source: "kernel log", state: stateOK, detail: how}
}

func (c *config) examineTracefs() finding {
	dir := filepath.Join(c.sysfs, "kernel/tracing")
	_, err := os.ReadDir(filepath.Join(dir, "instances"))
	switch {
	case err == nil:
		return finding{source: "tracefs", state: stateOK, detail: dir + " (used with --events.tracefs)"}
	case errors.Is(err, os.ErrPermission):
		return finding{"tracefs", stateMissing, dir + " is root's: kills in groups that live for milliseconds are named less often", "optional: run as root with --events.tracefs=auto"}
	default:
		return finding{"tracefs", stateNone, dir + " is not mounted: kills in groups that live for milliseconds are named less often", "optional: mount -t tracefs tracefs " + dir}
	}
}

// examineNames looks at the places that know the names of containers.
func (c *config) examineNames() []finding {
	o := c.nameOptions(nil)
	var list []finding
	look := func(what string, dirs ...string) {
		var there, refused []string
		for _, dir := range dirs {
			switch _, err := os.ReadDir(dir); {
			case err == nil:
				there = append(there, dir)
			case errors.Is(err, os.ErrPermission):
				refused = append(refused, dir)
			}
		}
		switch {
		case len(there) > 0:
			list = append(list, finding{source: "names: " + what, state: stateOK, detail: strings.Join(there, ", ")})
		case len(refused) > 0:
			list = append(list, finding{"names: " + what, stateMissing, strings.Join(refused, ", ") + " is refused: ids stand in for names", "make it readable, or run as root"})
		}
	}
	look("kubelet's logs", o.LogDirs...)
	look("containerd", o.ContainerdStates...)
	look("Docker", filepath.Join(o.DockerRoot, "containers"))
	look("Podman", o.PodmanRoots...)
	if len(list) == 0 {
		list = append(list, finding{source: "names", state: stateNone, detail: "no container runtime's files here; systemd units and cgroup paths name the rest"})
	}
	return list
}

// amount prints bytes for people.
func amount(a oom.Amount) string {
	n, ok := a.Get()
	if !ok {
		return a.String()
	}
	return fmt.Sprintf("%.1f GiB of memory", float64(n)/(1<<30))
}

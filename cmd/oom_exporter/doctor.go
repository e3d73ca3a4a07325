// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/bpf"
	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/page"
	"github.com/oom-exporter/oom_exporter/internal/proc"
	"github.com/oom-exporter/oom_exporter/internal/rights"
)

// Exit codes of doctor, beside those of all commands.
const (
	exitLimited = 3 // something is seen only in part.
	exitMissing = 4 // something that is needed is not seen.
)

// doctor says, source by source, what this host lets the exporter see, and how
// to fix what is missing.
func doctor(_ context.Context, c *config, std streams) error {
	findings := c.examine(c.accessBPF)
	if std.dropRights != nil { // Landlock is the running kernel's, whatever roots the flags name.
		findings = append(findings, landlockFinding(rights.LandlockVersion()))
	}
	write := writeFindings
	if c.format == "json" {
		write = writeFindingsJSON
	}
	if err := write(std.out, findings); err != nil {
		return err
	}
	switch worst(findings) {
	case page.StateMissing:
		return cli.ExitError(exitMissing)
	case page.StateLimited:
		return cli.ExitError(exitLimited)
	}
	return nil
}

func worst(findings []page.Finding) page.State {
	state := page.StateOK
	for _, f := range findings {
		state = max(state, f.State)
	}
	return state
}

// summarize says in a sentence what the findings come to. It names every
// source that is not whole, so that it can't contradict them.
func summarize(findings []page.Finding) string {
	of := map[page.State][]string{}
	for _, f := range findings {
		of[f.State] = append(of[f.State], f.Source)
	}
	var parts []string
	if len(of[page.StateMissing]) == 0 {
		parts = append(parts, "No required source is missing.")
	}
	for _, p := range []struct {
		state page.State
		title string
	}{
		{page.StateMissing, "Missing"}, {page.StateLimited, "Seen in part"}, {page.StateOptional, "Optional"},
	} {
		if names := of[p.state]; len(names) > 0 {
			parts = append(parts, p.title+": "+strings.Join(names, ", ")+".")
		}
	}
	return strings.Join(parts, " ")
}

func writeFindings(w io.Writer, findings []page.Finding) error {
	fmt.Fprintf(w, "What oom_exporter can see here as uid %d:\n\n", os.Getuid())
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Source))
	}
	columns := terminalWidth(w)
	indent := strings.Repeat(" ", width+14)
	folded := func(text string) string {
		if columns < len(indent)+20 { // no terminal, or one that is too narrow to fold in.
			return text
		}
		return strings.Join(wrapWords(text, columns-len(indent)), "\n"+indent)
	}
	for _, f := range findings {
		fmt.Fprintf(w, "  %-*s  %-8s  %s\n", width, f.Source, f.State, folded(f.Detail))
		if f.Remedy != "" {
			fmt.Fprintf(w, "%s%s\n", indent, folded("-> "+f.Remedy))
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", summarize(findings))
	return err
}

// findingJSON is a finding in doctor's JSON.
type findingJSON struct {
	Source string `json:"source"`
	State  string `json:"state"` // ok, optional, limited or missing.
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func writeFindingsJSON(w io.Writer, findings []page.Finding) error {
	d := struct {
		Schema   string        `json:"schema"`
		UID      int           `json:"uid"`
		State    string        `json:"state"`
		Summary  string        `json:"summary"`
		Findings []findingJSON `json:"findings"`
	}{"oom_exporter.doctor/v1", os.Getuid(), worst(findings).String(), summarize(findings), nil}
	for _, f := range findings {
		d.Findings = append(d.Findings, findingJSON{f.Source, f.State.String(), f.Detail, f.Remedy})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(d)
}

func finding(source string, state page.State, detail, remedy string) page.Finding {
	return page.Finding{Source: source, State: state, Detail: detail, Remedy: remedy}
}

// accessBPF tries what can be loaded: the program that lists cgroups, and the others.
func (c *config) accessBPF() (cgroups, err error) {
	mount := c.sysfs // where there is no hierarchy, examineGroups says so.
	if h, err := cgroup.Find(cgroup.Options{Sysfs: c.sysfs, Procfs: c.procfs}); err == nil {
		mount = h.Mount()
	}
	return bpf.Access(bpf.Options{Kernel: bpf.NewKernel(c.btf()), MaxCgroups: c.maxGroups}, mount)
}

// examine looks at all sources; access tells what BPF can be used for.
func (c *config) examine(access func() (cgroups, err error)) []page.Finding {
	fs, err := proc.New(proc.Options{Root: c.procfs})
	if err != nil {
		return []page.Finding{finding("processes", page.StateMissing, err.Error(), "mount the host's /proc and name it with --path.procfs")}
	}
	defer func() { _ = fs.Close() }()
	findings := c.examineProc(fs)
	findings = append(findings, c.examineGroups(fs)...)
	findings = append(findings, c.examineLog(), c.examineTracefs(), bpfFinding(access()))
	findings = append(findings, c.examineNames()...)
	return append(findings, c.examineClock()...)
}

func (c *config) examineProc(fs *proc.FS) []page.Finding {
	node, err := fs.Node()
	if err != nil {
		return []page.Finding{finding("node", page.StateMissing, err.Error(), "make "+c.procfs+"/meminfo readable")}
	}
	list := []page.Finding{{Source: "node", State: page.StateOK, Detail: fmt.Sprintf("Linux %s, %s", node.Release.Text, amount(node.Total))}}
	kills := page.Finding{Source: "kill counter", State: page.StateOK, Detail: fmt.Sprintf("%s since boot (%s/vmstat oom_kill)", node.OOMKills, c.procfs)}
	if !node.OOMKills.IsValue() {
		kills = finding("kill counter", page.StateMissing, "no oom_kill in "+c.procfs+"/vmstat: kills are counted from the kernel log", "a kernel of 4.13 or later")
	}
	procs, skipped, err := fs.Scan(nil, nil)
	processes := page.Finding{Source: "processes", State: page.StateOK, Detail: fmt.Sprintf("%d", len(procs))}
	switch {
	case err != nil:
		processes = finding("processes", page.StateMissing, err.Error(), "mount the host's /proc and name it with --path.procfs")
	case fs.Hidepid():
		processes = finding("processes", page.StateLimited, fmt.Sprintf("%d seen; those of other users are hidden (hidepid)", len(procs)), "run as root, or mount /proc with gid=GROUP and add this user to GROUP")
	case skipped.UnreadableProcesses > 0:
		processes = finding("processes", page.StateLimited, fmt.Sprintf("%d read, %d refused", len(procs), skipped.UnreadableProcesses), "run as root, or look for a security module (SELinux, AppArmor) that refuses /proc/PID")
	}
	return append(list, kills, processes)
}

func (c *config) examineGroups(fs *proc.FS) []page.Finding {
	h, err := cgroup.Find(cgroup.Options{Sysfs: c.sysfs, Procfs: c.procfs, Parts: cgroup.PartProcs | cgroup.PartPressure | cgroup.PartSwap})
	if err != nil {
		return []page.Finding{finding("memory cgroups", page.StateMissing, err.Error(), "mount the host's cgroup tree and name the sys directory with --path.sysfs")}
	}
	tree, skipped, err := h.Read()
	if err != nil {
		return []page.Finding{finding("memory cgroups", page.StateMissing, err.Error(), "make "+h.Mount()+" readable")}
	}
	groups := page.Finding{Source: "memory cgroups", State: page.StateOK, Detail: fmt.Sprintf("v%d at %s, %d groups", h.Version(), h.Mount(), len(tree.Groups))}
	if skipped.UnreadableGroups > 0 {
		groups.State, groups.Remedy = page.StateLimited, "run as root, or make the groups readable"
		groups.Detail += fmt.Sprintf(", %d refused", skipped.UnreadableGroups)
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
	list := []page.Finding{groups}
	if counters == 0 && len(tree.Groups) > 1 {
		list = append(list, finding("kills by group", page.StateMissing, "no group counts its kills", "a kernel of 4.13 or later"))
	}
	if h.Version() == 2 && pressure == 0 {
		list = append(list, finding("pressure (PSI)", page.StateOptional, "no memory.pressure: no oom_container_pressure_* series", "boot with psi=1, on a kernel with CONFIG_PSI"))
	}
	return append(list, c.examinePIDs(fs, &tree, known))
}

// examinePIDs finds out whether the pids in the cgroups' files are those of /proc.
// In a container without the host's pid namespace, they are not.
func (c *config) examinePIDs(fs *proc.FS, tree *oom.Tree, known int) page.Finding {
	procs, _, err := fs.Scan(nil, nil)
	if err != nil || len(procs) == 0 || known == 0 {
		return finding("process to group", page.StateMissing, "no process can be found in its group", "host pid namespace (Kubernetes: hostPID: true; Docker: --pid=host)")
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
		return finding("process to group", page.StateLimited, fmt.Sprintf("%d of %d processes are found in a group", found, len(procs)), "host pid namespace and the host's whole cgroup tree (Kubernetes: hostPID: true and a hostPath of /sys/fs/cgroup)")
	}
	return page.Finding{Source: "process to group", State: page.StateOK, Detail: fmt.Sprintf("%d of %d processes are found in a group", found, len(procs))}
}

func (c *config) examineLog() page.Finding {
	how, err := killfeed.LogAccess(context.Background(), c.kmsg)
	if err != nil {
		return finding("kernel log", page.StateMissing, err.Error()+": kills are counted, without pid, comm and sizes", killfeed.LogRemedy)
	}
	return page.Finding{Source: "kernel log", State: page.StateOK, Detail: how}
}

func (c *config) examineTracefs() page.Finding {
	dir := filepath.Join(c.sysfs, "kernel/tracing")
	_, err := os.ReadDir(filepath.Join(dir, "instances"))
	switch {
	case err == nil:
		return page.Finding{Source: "tracefs", State: page.StateOK, Detail: dir + " (used with --events.tracefs)"}
	case errors.Is(err, os.ErrPermission):
		return finding("tracefs", page.StateOptional, dir+" is root's: kills in groups that live for milliseconds are named less often", "optional: run as root with --events.tracefs=auto")
	default:
		return finding("tracefs", page.StateOptional, dir+" is not mounted: kills in groups that live for milliseconds are named less often", "optional: mount -t tracefs tracefs "+dir)
	}
}

func bpfFinding(cgroups, err error) page.Finding {
	if err != nil {
		remedy, cause := bpf.Remedy(err)
		if remedy == "" {
			remedy = "--source.bpf=auto"
		}
		return finding("bpf", page.StateOptional, cause.Error()+": kills in groups that live for milliseconds are named less often", "optional: "+remedy)
	}
	const others = "the victims of kills can be traced, and processes listed (used with --source.bpf)"
	if cgroups == nil {
		return page.Finding{Source: "bpf", State: page.StateOK, Detail: "the victims of kills can be traced, and processes and cgroups listed (used with --source.bpf)"}
	}
	remedy, cause := bpf.Remedy(cgroups)
	if remedy != "" {
		remedy = "optional: " + remedy
	}
	return finding("bpf", page.StateOK, others+"; the numbers of cgroups are read from files: "+cause.Error(), remedy)
}

// landlockFinding says what holds back somebody who takes over the exporter.
func landlockFinding(version int) page.Finding {
	if version == 0 {
		return finding("Landlock", page.StateOptional, "the kernel has none, or it is not active: whoever takes over the exporter can do what its user can",
			"optional: a kernel of 5.13 or later with landlock in its lsm= list")
	}
	return page.Finding{Source: "Landlock", State: page.StateOK, Detail: fmt.Sprintf("version %d: with --rights.drop, once it serves, the exporter writes to its own files only and, unless /proc hides processes (hidepid), reaches into no other process", version)}
}

// examineNames looks at the places that know the names of containers.
func (c *config) examineNames() []page.Finding {
	o := c.nameOptions(nil)
	var list []page.Finding
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
			list = append(list, page.Finding{Source: "names: " + what, State: page.StateOK, Detail: strings.Join(there, ", ")})
		case len(refused) > 0:
			list = append(list, finding("names: "+what, page.StateLimited, strings.Join(refused, ", ")+" cannot be read: ids are shown instead of names", "make it readable, or run as root"))
		}
	}
	look("kubelet's logs", o.LogDirs...)
	look("containerd", o.ContainerdStates...)
	look("Docker", filepath.Join(o.DockerRoot, "containers"))
	look("Podman", o.PodmanRoots...)
	if len(list) == 0 {
		list = append(list, page.Finding{Source: "names", State: page.StateOptional, Detail: "no container runtime's files here; names come from systemd units and cgroup paths"})
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

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/oom-exporter/oom_exporter/"

// mayImport is the structure of the house: which of our packages each
// package may depend on, directly or not. Data flows one way: sources ->
// model -> collectors -> web.
var mayImport = map[string][]string{
	"internal/oom":        {},
	"internal/kernfs":     {},
	"internal/proc":       {"internal/oom", "internal/kernfs"},
	"internal/cgroup":     {"internal/oom", "internal/kernfs"},
	"internal/kmsg":       {},
	"internal/oomlog":     {"internal/oom", "internal/kmsg"},
	"internal/tracefs":    {"internal/oom", "internal/kernfs"},
	"internal/bpf":        {"internal/oom"},
	"internal/text":       {},
	"internal/causes":     {"internal/oom", "internal/statefile"},
	"internal/verdict":    {"internal/oom", "internal/text"},
	"internal/workload":   {"internal/oom", "internal/text"},
	"internal/statefile":  {},
	"internal/ledger":     {"internal/oom", "internal/text", "internal/statefile"},
	"internal/killfeed":   {"internal/oom", "internal/kernfs", "internal/kmsg", "internal/oomlog", "internal/tracefs", "internal/bpf", "internal/cgroup"},
	"internal/predict":    {"internal/oom"},
	"internal/host":       {"internal/oom", "internal/proc", "internal/kernfs", "internal/cgroup", "internal/workload", "internal/predict", "internal/text"},
	"internal/recorder":   {"internal/oom"},
	"internal/report":     {"internal/oom", "internal/kmsg", "internal/oomlog", "internal/text"},
	"internal/top":        {"internal/oom", "internal/host", "internal/proc", "internal/kernfs", "internal/cgroup", "internal/workload", "internal/predict", "internal/text"},
	"internal/page":       {"internal/oom", "internal/text"},
	"internal/web":        {},
	"internal/rights":     {},
	"internal/logging":    {},
	"internal/cli":        {},
	"internal/guard":      {"internal/oom", "internal/predict"},
	"internal/guard/kube": {},
	"internal/guard/hook": {"internal/oom", "internal/predict", "internal/guard"},
	"internal/guard/act":  {"internal/oom", "internal/predict", "internal/guard", "internal/proc", "internal/kernfs", "internal/statefile", "internal/cgroup"},
	"collector":           {"internal/oom", "internal/text"},
}

// knowsNoPrometheus are the packages below the collectors.
var knowsNoPrometheus = []string{
	"internal/oom", "internal/kernfs", "internal/kmsg", "internal/oomlog", "internal/ledger", "internal/recorder", "internal/killfeed", "internal/predict",
	"internal/cgroup", "internal/workload", "internal/tracefs", "internal/bpf", "internal/report", "internal/page", "internal/guard", "internal/guard/act", "internal/guard/kube", "internal/guard/hook",
	"internal/verdict", "internal/causes",
}

func deps(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	var stderr strings.Builder // and what it downloads.
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.String())
	}
	return strings.Fields(string(out))
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, full := range deps(t, module+"...") {
		pkg := strings.TrimPrefix(full, module)
		allowed, listed := mayImport[pkg]
		switch {
		case listed:
		case strings.HasPrefix(pkg, "cmd/"), strings.HasPrefix(pkg, "e2e"), strings.HasPrefix(pkg, "dashboards"), pkg == "charts":
			continue
		default:
			t.Errorf("%s is not in the import table", pkg)
			continue
		}
		for _, dep := range deps(t, "-deps", full) {
			ours, isOurs := strings.CutPrefix(dep, module)
			if isOurs && ours != pkg && !slices.Contains(allowed, ours) {
				t.Errorf("%s must not depend on %s", pkg, ours)
			}
			if slices.Contains(knowsNoPrometheus, pkg) && strings.HasPrefix(dep, "github.com/prometheus/client_golang") {
				t.Errorf("%s must not know Prometheus, but depends on %s", pkg, dep)
			}
		}
	}
}

// TestLibrariesAreInUse holds that the exporter reads by the libraries it names,
// in code of ours and not in tests only.
func TestLibrariesAreInUse(t *testing.T) {
	used := deps(t, "-deps", "-f", `{{if and .Module .Module.Main}}{{join .Imports "\n"}}{{end}}`, module+"cmd/oom_exporter")
	for _, library := range []string{
		"github.com/prometheus/procfs",
		"github.com/containerd/cgroups/v3/cgroup1",
		"github.com/containerd/cgroups/v3/cgroup2",
		"github.com/prometheus/client_golang/prometheus",
	} {
		if !slices.Contains(used, library) {
			t.Errorf("no package of oom_exporter imports %s", library)
		}
	}
}

// TestTheExporterCanNotKill holds that nothing of what acts is in the exporter.
func TestTheExporterCanNotKill(t *testing.T) {
	for _, dep := range deps(t, "-deps", module+"cmd/oom_exporter") {
		if strings.HasPrefix(dep, module+"internal/guard") {
			t.Errorf("oom_exporter depends on %s: it must stay read-only", dep)
		}
	}
}

func TestFlagsLiveInCmdOnly(t *testing.T) {
	for pkg := range mayImport {
		if pkg == "internal/cli" {
			continue // it helps to declare them, and declares none.
		}
		for _, dep := range deps(t, "-e", "-f", "{{join .Imports \"\\n\"}}", module+pkg) {
			if dep == "github.com/alecthomas/kingpin/v2" || dep == "flag" {
				t.Errorf("%s declares flags by %s", pkg, dep)
			}
		}
	}
}

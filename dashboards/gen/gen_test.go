// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the generated files")

const top = "../.."

// TestGenerated holds the committed dashboards, and the chart's copies of them
// and of the rules, against the code and the rules they are made from.
func TestGenerated(t *testing.T) {
	if *update {
		if err := run(top); err != nil {
			t.Fatal(err)
		}
	}
	files, err := outputs(top)
	if err != nil {
		t.Fatal(err)
	}
	if want := 4*2 + 5*2; len(files) != want {
		t.Errorf("%d generated files, want %d: four dashboards and five rule files, each twice", len(files), want)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what go run ./dashboards/gen writes", name)
		}
	}
	for _, dir := range []string{"dashboards/*.json", "charts/oom-exporter/files/*/*"} {
		found, err := filepath.Glob(filepath.Join(top, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, err := filepath.Rel(top, path)
			if err != nil {
				t.Fatal(err)
			}
			if files[name] == nil {
				t.Errorf("%s is not generated: what made it is gone", name)
			}
		}
	}
}

// TestRunWrites sees that a run makes its directories and needs nothing but
// the mixin.
func TestRunWrites(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "dashboards", "mixin"), os.DirFS(filepath.Join(top, "dashboards", "mixin"))); err != nil {
		t.Fatal(err)
	}
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"dashboards/oom-exporter-node.json", "dashboards/rules/kills.yaml",
		"charts/oom-exporter/files/rules/guard.yaml", "charts/oom-exporter/files/dashboards/oom-exporter-kills.json",
	} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	if err := run(t.TempDir()); err == nil {
		t.Error("a missing mixin is no error")
	}
}

// TestMixin overlays _config as a site does.
func TestMixin(t *testing.T) {
	var groups []struct{ Rules []rule }
	overlay := `(mixin + {_config+:: {selector: 'job="oom"', namespaceSelector: 'namespace!="dev"', killLoopCount: 5, grafanaURL: 'https://g', pageURL: 'http://{{ $labels.instance }}:10137',
		alerts: {OOMKillLoop: {severity: 'info', 'for': '2m'}, OOMScoreAdjMismatch: {enabled: false}}}}).prometheusAlerts.groups`
	if err := evaluate(top, overlay, &groups); err != nil {
		t.Fatal(err)
	}
	found := map[string]rule{}
	for _, g := range groups {
		for _, r := range g.Rules {
			found[r.Alert+r.Record] = r
		}
	}
	loop := found["OOMKillLoop"]
	if loop.Labels["severity"] != "info" || loop.For != "2m" || !strings.HasSuffix(loop.Expr, ">= 5") || !strings.HasPrefix(loop.Annotations["dashboard"], "https://g/d/") {
		t.Errorf("OOMKillLoop is %+v", loop)
	}
	if _, there := loop.Annotations["page"]; there {
		t.Errorf("OOMKillLoop is about no one node, and links to a page: %v", loop.Annotations)
	}
	for alert, want := range map[string]string{
		"OOMContainerKilled": "/workloads?namespace={{ $labels.namespace | urlquery }}&pod={{ $labels.pod | urlquery }}&container={{ $labels.container | urlquery }}",
		"OOMPodNearLimit":    "/workloads?q={{ $labels.pod | urlquery }}",
		"OOMNodeNearLimit":   "/",
		"OOMKernelLogLost":   "/kills",
	} {
		if got := found[alert].Annotations["page"]; got != "http://{{ $labels.instance }}:10137"+want {
			t.Errorf("%s links to %q, want %q", alert, got, want)
		}
	}
	if want := `oom_container_under_oom{exported_container="",namespace!="dev",job="oom"} == 1`; found["OOMContainerHung"].Expr != want {
		t.Errorf("selectors: %s, want %s", found["OOMContainerHung"].Expr, want)
	}
	if _, there := found["OOMScoreAdjMismatch"]; there {
		t.Error("an alert that is not enabled is there")
	}
	if err := evaluate(top, "(mixin + {_config+:: {alerts: {OOMKilLoop: {severity: 'info'}}}}).prometheusAlerts.groups", &groups); err == nil || !strings.Contains(err.Error(), "names no alert of this mixin: OOMKilLoop") {
		t.Errorf("an unknown alert: %v", err)
	}
	var boards map[string]any
	if err := evaluate(top, "mixin.grafanaDashboards", &boards); err != nil || len(boards) != 4 {
		t.Errorf("%d dashboards: %v", len(boards), err)
	}
}

// TestLineFillsGrid sees that shares are laid side by side and lines below each
// other.
func TestLineFillsGrid(t *testing.T) {
	b := newBoard("x", "x", "x")
	b.row("r")
	b.line(4, even(3), panel{}, panel{}, panel{})
	b.line(5, []int{10, 14}, panel{}, panel{})
	want := []gridPos{{1, 24, 0, 0}, {4, 8, 0, 1}, {4, 8, 8, 1}, {4, 8, 16, 1}, {5, 10, 0, 5}, {5, 14, 10, 5}}
	for i, p := range b.Panels {
		if p.GridPos != want[i] || p.ID != i+1 {
			t.Errorf("panel %d: id %d at %+v, want %+v", i, p.ID, p.GridPos, want[i])
		}
	}
}

// TestScale sees that the first step is open below and the others begin at
// their values.
func TestScale(t *testing.T) {
	s := from("red", 0.5, "green").Steps
	if len(s) != 2 || s[0].Value != nil || s[0].Color != "red" || s[1].Value == nil || *s[1].Value != 0.5 || s[1].Color != "green" {
		t.Errorf("steps %+v", s)
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
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
	if want := 4*2 + 4; len(files) != want {
		t.Errorf("%d generated files, want %d: four dashboards twice and four rule files", len(files), want)
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
// the rules.
func TestRunWrites(t *testing.T) {
	root := t.TempDir()
	rules := filepath.Join(root, "dashboards", "rules")
	if err := os.MkdirAll(rules, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rules, "a.yaml"), []byte("groups: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dashboards/oom-exporter-node.json", "charts/oom-exporter/files/rules/a.yaml", "charts/oom-exporter/files/dashboards/oom-exporter-kills.json"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	if err := os.Chmod(filepath.Join(rules, "a.yaml"), 0); err == nil && os.Getuid() != 0 {
		if err := run(root); err == nil {
			t.Error("an unreadable rule file is no error")
		}
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

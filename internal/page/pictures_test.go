// SPDX-License-Identifier: Apache-2.0

//go:build pictures

package page

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// screens are the forms in which each page is looked at.
var screens = []struct {
	name, scheme string
	width        int
}{
	{"light", "light", 1280}, {"dark", "dark", 1280}, {"narrow", "light", 360}, {"4k", "dark", 3840},
}

// TestPictures draws each page into docs/images and holds that Chromium has
// nothing to say about it, that it is nowhere wider than its screen, and that
// axe-core finds no fault:
//
//	go test -tags pictures -run TestPictures ./internal/page
//
// It needs Chromium and npm, from which it takes axe-core.
func TestPictures(t *testing.T) {
	server := httptest.NewServer(newScene().handler(t))
	defer server.Close()
	axe := axeScript(t)
	b := openBrowser(t)
	for name, path := range map[string]string{
		"node": "/", "kill": "/kills/k3", "kills": "/kills", "workloads": "/workloads", "doctor": "/doctor",
		"workload": "/workloads/shop/web-7d4f9-x2/app",
	} {
		for _, s := range screens {
			b.open(server.URL+path, s.width, s.scheme)
			if s.name != "4k" {
				b.picture(filepath.Join("..", "..", "docs", "images", "page-"+name+"-"+s.name+".png"))
			}
			var wide int
			b.evaluate("document.documentElement.scrollWidth", &wide)
			if wide > s.width {
				t.Errorf("%s, %s: %d px wide on a screen of %d", name, s.name, wide, s.width)
			}
			if said := b.messages(); len(said) > 0 {
				t.Errorf("%s, %s: the browser says %s", name, s.name, strings.Join(said, "\n"))
			}
			b.evaluate(axe, nil)
			var found struct {
				Passes     int
				Violations []struct {
					ID, Help string
					Nodes    []struct{ HTML, FailureSummary string }
				}
			}
			b.evaluate("axe.run().then(r => ({passes: r.passes.length, violations: r.violations}))", &found)
			if found.Passes < 20 {
				t.Errorf("%s, %s: only %d rules of axe-core have been tried", name, s.name, found.Passes)
			}
			for _, f := range found.Violations {
				t.Errorf("%s, %s: %s (%s): %d times, the first %s %s", name, s.name, f.ID, f.Help, len(f.Nodes), f.Nodes[0].HTML, f.Nodes[0].FailureSummary)
			}
			b.messages()
		}
	}
}

// axeScript is axe-core, as npm has it.
func axeScript(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "npm", "install", "--no-save", "--ignore-scripts", "--prefix", dir, "axe-core@4.14.1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm: %v\n%s", err, out)
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e && pictures

package alerting

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// span is what the pictures show.
const span = 210 * time.Second

// TestPictures draws the dashboards of a node on which much goes wrong into
// docs/images, by Grafana's own components (testdata/grafana) and with what a real
// Prometheus has scraped meanwhile. It fails on a panel that errs, that is empty
// without a reason, that does not fit, and on kills that are not red:
//
//	make pictures
//
// It needs npm and Chromium. Not from Grafana are the page around the panels and
// the marks of kills in graphs: dashboards and data sources are no packages.
func TestPictures(t *testing.T) {
	lab.Root(t)
	lab.Need(t, "chromium", "npm", "node")
	dir := bundle(t)
	s := play(t)
	page := s.servePage(t, dir)
	values := map[string]url.Values{
		"overview": {}, "node": {"var-node": {nodeName}}, "kills": {},
		"workload": {"var-namespace": {"shop"}, "var-pod": {"web-7d4f9-x2"}, "var-container": {"app"}},
	}
	boards := map[string]boardReport{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		boards[name] = page.draw(t, name, values[name], filepath.Join(lab.Repository(t), "docs", "images", name+".png"))
	}
	// As it opens for somebody who has chosen nothing.
	opened := page.draw(t, "workload", url.Values{}, filepath.Join(t.TempDir(), "workload.png"))
	for _, e := range opened.Errors {
		t.Errorf("the workload that it opens on: %s", e)
	}
	checkBoards(t, boards)
	picturesEvidence(t, boards)
}

// mayShowNothing are the panels that are empty in the pictures, and why.
func mayShowNothing(t *testing.T) map[string]string {
	reasons := map[string]string{
		"overview / Growing towards their limit": "needs two hours of samples",
		"workload / Time to its limit":           "needs two hours of samples",
	}
	if lab.MemoryHierarchy(t).Version == 1 {
		reasons["workload / Memory stall (PSI full)"] = "cgroup v1 has no PSI"
	}
	return reasons
}

// checkBoards holds what was drawn against what people should see.
func checkBoards(t *testing.T, boards map[string]boardReport) {
	empty := mayShowNothing(t)
	panels, kills := 0, 0
	for board, report := range boards {
		for _, e := range report.Errors {
			t.Errorf("%s: %s", board, e)
		}
		for _, p := range report.Panels {
			at := board + " / " + p.Title
			if at == "workload / Who dies next" && p.Empty {
				continue // no limit of it is near at the moment of the picture.
			}
			if _, listed := empty[at]; p.Error == "" && p.Empty != listed {
				t.Errorf("%s: empty %v, listed as empty %v", at, p.Empty, listed)
			}
			checkPanel(t, at, p)
			panels++
			kills += checkRed(t, at, p)
		}
	}
	if panels < 40 || kills < 12 {
		t.Errorf("only %d panels and %d colours of kills were looked at", panels, kills)
	}
}

// checkPanel wants no errors, names for all columns, links that lead somewhere,
// and room for all.
func checkPanel(t *testing.T, at string, p panelReport) {
	t.Helper()
	if p.Error != "" {
		t.Errorf("%s: %s", at, p.Error)
	}
	for _, c := range p.Columns {
		if c == "" || strings.HasPrefix(c, "Value") {
			t.Errorf("%s: a column is called %q", at, c)
		}
	}
	if p.Unsorted > 0 {
		t.Errorf("%s: %d of %d rows lack what the table is sorted by", at, p.Unsorted, p.Rows)
	}
	for _, l := range p.Links {
		if !strings.HasPrefix(l, "/d/oom-exporter-") || strings.Contains(l, "$") {
			t.Errorf("%s: a link leads to %s", at, l)
		}
	}
	if at == "overview / Alerts" {
		p.Cut = slices.DeleteFunc(p.Cut, func(c string) bool { return strings.HasSuffix(c, " of its height") }) // as many as fire.
	}
	for _, c := range p.Cut {
		t.Errorf("%s: does not fit: %s", at, c)
	}
}

// aboutKills are the titles of panels that count kills.
var aboutKills = regexp.MustCompile(`^(Kills|All kills|Storms|OOM decisions|Workloads killed)`)

// checkRed wants each number of kills that is not 0, and each series of kills, to
// be red, and returns how many were looked at.
func checkRed(t *testing.T, at string, p panelReport) (seen int) {
	t.Helper()
	if !aboutKills.MatchString(p.Title) {
		return 0
	}
	for _, s := range p.Series {
		if p.Type == "stat" && s.Value == 0 {
			continue
		}
		seen++
		if !isRed(s.Color) {
			t.Errorf("%s: %s is drawn in %s", at, s.Name, s.Color)
		}
	}
	return seen
}

// isRed takes colours as #rrggbb.
func isRed(color string) bool {
	rgb, err := strconv.ParseUint(strings.TrimPrefix(color, "#"), 16, 24)
	r, g, b := rgb>>16, rgb>>8&0xff, rgb&0xff
	return err == nil && len(color) == len("#rrggbb") && r > 100 && 2*r > 3*max(g, b)
}

// picturesEvidence writes what was drawn, where OOM_E2E_EVIDENCE is set.
func picturesEvidence(t *testing.T, boards map[string]boardReport) {
	var b strings.Builder
	fmt.Fprintf(&b, `# Dashboards as Grafana's components draw them

Each panel of the shipped dashboards, drawn by the components of Grafana %s (npm: @grafana/ui, @grafana/data) in Chromium from what a real
Prometheus scraped while containers were killed: [Overview](../images/overview.png), [Node](../images/node.png),
[Workload](../images/workload.png), [Kills](../images/kills.png). The test fails on an error in a query, a transformation or a component, on
a panel that is empty and not listed below, on a column without a name, on legends, titles and tables that do not fit, and on kills that
are not red.

Written by `+"`make pictures`"+` with OOM_E2E_EVIDENCE set.

Linux %s, %s.

| dashboard | panels | with data | columns | rows | series |
|---|---|---|---|---|---|
`, grafanaVersion(t), release(t), time.Now().UTC().Format("2006-01-02"))
	for _, name := range slices.Sorted(maps.Keys(boards)) {
		full, columns, rows, series := 0, 0, 0, 0
		for _, p := range boards[name].Panels {
			if !p.Empty {
				full++
			}
			columns, rows, series = columns+len(p.Columns), rows+p.Rows, series+len(p.Series)
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d |\n", name, len(boards[name].Panels), full, columns, rows, series)
	}
	fmt.Fprintf(&b, "\nEmpty:\n%s\nHigher than its panel may only be the list of alerts, of which as many fire as do; empty may also be who dies next in the workload, while no limit of it is near.\n", reasons(mayShowNothing(t)))
	t.Log(b.String())
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		put(t, filepath.Join(dir, "dashboards.md"), b.String())
	}
}

// grafanaVersion is that of the components.
func grafanaVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(pageSources, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Dependencies map[string]string }
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p.Dependencies["@grafana/ui"]
}

// boardHeight is how high a page is that shows all of a dashboard.
func boardHeight(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type grid struct {
		GridPos struct{ Y, H float64 }
	}
	var board struct {
		Panels []struct {
			grid
			Panels []grid
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	bottom := 0.0
	for _, p := range board.Panels {
		for _, each := range append(p.Panels, p.grid) {
			bottom = math.Max(bottom, each.GridPos.Y+each.GridPos.H)
		}
	}
	return 64 + int(bottom)*38 // of the bar above, and of a unit of the grid.
}

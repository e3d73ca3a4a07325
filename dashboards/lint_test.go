// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// queries returns every PromQL text of a dashboard by its place.
func (b *board) queries() map[string]string {
	all := map[string]string{}
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = target.Expr
		}
	}
	for _, a := range b.Annotations.List {
		if a.Expr != "" {
			all[" annotation "+a.Name] = a.Expr
		}
	}
	for _, v := range b.Templating.List {
		if m := regexp.MustCompile(`^(?:label_values\((.*), [a-z]+|query_result\((.*))\)$`).FindStringSubmatch(v.Definition); m != nil {
			all[" variable "+v.Name] = m[1] + m[2]
		}
	}
	return all
}

func TestDashboards(t *testing.T) {
	boards := loadBoards(t)
	var uids []string
	for _, b := range boards {
		uids = append(uids, b.UID)
	}
	want := []string{"oom-exporter-kills", "oom-exporter-node", "oom-exporter-overview", "oom-exporter-workload"}
	if !slices.Equal(uids, want) {
		t.Errorf("dashboards %v, want %v", uids, want)
	}
	for _, b := range boards {
		if b.path != b.UID+".json" {
			t.Errorf("%s has the uid %s", b.path, b.UID)
		}
		if b.Title == "" || b.Description == "" || b.SchemaVersion < 39 || !slices.Contains(b.Tags, "oom-exporter") {
			t.Errorf("%s: title %q, description %q, schema %d, tags %v", b.UID, b.Title, b.Description, b.SchemaVersion, b.Tags)
		}
		if len(b.Links) == 0 || b.Links[0].Type != "dashboards" || !slices.Contains(b.Links[0].Tags, "oom-exporter") {
			t.Errorf("%s: no links to its siblings", b.UID)
		}
		for _, m := range regexp.MustCompile(`"/d/([^?"]*)`).FindAllStringSubmatch(b.raw, -1) {
			if !slices.Contains(uids, m[1]) {
				t.Errorf("%s: links to %s, which does not exist", b.UID, m[1])
			}
		}
		if !slices.ContainsFunc(b.queriesOf("annotation"), func(expr string) bool {
			return strings.HasPrefix(expr, "oom_container_last_kill_timestamp_seconds{")
		}) {
			t.Errorf("%s: kills are not annotated", b.UID)
		}
		lintVariables(t, b)
		lintGrid(t, b)
		for _, p := range b.Panels {
			if p.Type != "row" {
				lintPanel(t, b, p)
			}
		}
	}
}

func (b *board) queriesOf(kind string) []string {
	var list []string
	for place, expr := range b.queries() {
		if strings.HasPrefix(place, " "+kind+" ") {
			list = append(list, expr)
		}
	}
	return list
}

// lintVariables wants a data source to choose, and every variable defined
// before its use, all of them with a way to choose nothing in particular.
func lintVariables(t *testing.T, b board) {
	t.Helper()
	known := []string{"__range", "__interval", "__rate_interval", "__from", "__data", "__url_time_range", "__all"}
	for i, v := range b.Templating.List {
		for _, m := range variableName.FindAllStringSubmatch(v.Definition, -1) {
			if !slices.Contains(known, m[1]) {
				t.Errorf("%s: variable %s needs %s, which comes later or never", b.UID, v.Name, m[1])
			}
		}
		known = append(known, v.Name)
		switch {
		case v.Label == "":
			t.Errorf("%s: variable %s has no label", b.UID, v.Name)
		case i == 0 && (v.Type != "datasource" || v.Name != "datasource"):
			t.Errorf("%s: the first variable is %s, want the data source", b.UID, v.Name)
		case i > 0 && (v.Datasource == nil || v.Datasource.UID != "${datasource}"):
			t.Errorf("%s: variable %s has a data source of its own", b.UID, v.Name)
		case v.IncludeAll && v.AllValue != ".*":
			t.Errorf("%s: All of variable %s leaves out series without the label", b.UID, v.Name)
		}
	}
	for _, name := range []string{"cluster", "node"} {
		if !slices.Contains(known, name) {
			t.Errorf("%s: no variable %s", b.UID, name)
		}
	}
	for _, m := range variableName.FindAllStringSubmatch(b.raw, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("%s: $%s is no variable", b.UID, m[1])
		}
	}
	for _, m := range regexp.MustCompile(`"uid": "([^"]*)"`).FindAllStringSubmatch(b.raw, -1) {
		if m[1] != b.UID && m[1] != "${datasource}" && m[1] != "-- Grafana --" {
			t.Errorf("%s: hard-coded uid %q", b.UID, m[1])
		}
	}
}

var variableName = regexp.MustCompile(`\$\{?([a-zA-Z_]\w*)`)

// lintGrid wants each panel on the grid, none over another, and no holes.
func lintGrid(t *testing.T, b board) {
	t.Helper()
	taken := map[[2]int]string{}
	bottom := 0
	ids, titles := map[int]bool{}, map[string]bool{}
	for _, p := range b.Panels {
		g := p.GridPos
		if g.H < 1 || g.W < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			t.Errorf("%s: %q is off the grid: %+v", b.UID, p.Title, g)
			continue
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s: %q lies over %q", b.UID, p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		bottom = max(bottom, g.Y+g.H)
		if ids[p.ID] || titles[p.Title] {
			t.Errorf("%s: a second panel %d %q", b.UID, p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
	}
	if len(taken) != 24*bottom {
		t.Errorf("%s: holes in the grid: %d of %d cells", b.UID, len(taken), 24*bottom)
	}
}

func lintPanel(t *testing.T, b board, p panel) {
	t.Helper()
	at := fmt.Sprintf("%s: panel %q", b.UID, p.Title)
	if p.Title == "" || !strings.HasSuffix(p.Description, ".") || len(p.Description) < 40 {
		t.Errorf("%s: description %q: want a sentence", at, p.Description)
	}
	if p.Datasource == nil || p.Datasource.UID != "${datasource}" {
		t.Errorf("%s: data source %v", at, p.Datasource)
	}
	if p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: no unit", at)
	}
	if th := p.FieldConfig.Defaults.Thresholds; th == nil || len(th.Steps) == 0 {
		t.Errorf("%s: no thresholds", at)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%s: no queries", at)
	}
	var refs []string
	for _, q := range p.Targets {
		if slices.Contains(refs, q.RefID) || q.RefID == "" || q.Expr == "" || q.Datasource.UID != "${datasource}" {
			t.Errorf("%s: query %q %q of %v", at, q.RefID, q.Expr, q.Datasource)
		}
		refs = append(refs, q.RefID)
		if !strings.Contains(q.Expr, `cluster=~"$cluster`) || !strings.Contains(q.Expr, `instance=~"$node`) {
			t.Errorf("%s: query %s does not heed cluster and node", at, q.RefID)
		}
		if p.Type == "timeseries" && (q.LegendFormat == "" || q.Instant || !p.Options.Legend.ShowLegend) {
			t.Errorf("%s: query %s has no legend, or is instant", at, q.RefID)
		}
	}
	lintEmpty(t, at, p)
	if p.Type == "table" {
		lintTable(t, at, p, refs)
		lintHeight(t, at, p)
	}
}

// lintEmpty wants an empty panel to say why it is empty: not "No data", not "-".
func lintEmpty(t *testing.T, at string, p panel) {
	t.Helper()
	if reason := p.FieldConfig.Defaults.NoValue; len(reason) < len("never") || reason == "No data" {
		t.Errorf("%s: empty, it says %q: want a reason", at, reason)
	}
	if p.Type != "table" {
		return
	}
	for _, o := range p.FieldConfig.Overrides {
		if o.Properties[0].ID != "noValue" || string(o.Properties[0].Value) != `"-"` {
			t.Errorf("%s: an empty cell of %s says why the table would be empty", at, o.Matcher.Options)
		}
	}
}

// lintHeight wants no table to be higher than the rows that it can have: one that
// scrolls is better than one that is mostly empty. A row, and the head, take about
// one unit of the grid.
func lintHeight(t *testing.T, at string, p panel) {
	t.Helper()
	highest := 10 // where nothing bounds the rows.
	for _, m := range regexp.MustCompile(`(?:bottom|top)k\((\d+),`).FindAllStringSubmatch(p.Targets[0].Expr, -1) {
		rows, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		highest = rows + 2
	}
	if p.GridPos.H > highest {
		t.Errorf("%s: %d high, and has rows for %d", at, p.GridPos.H, highest)
	}
}

// lintTable wants columns that exist: labels that the queries keep, or values
// of queries.
func lintTable(t *testing.T, at string, p panel, refs []string) {
	t.Helper()
	kept := map[string]bool{"Value": len(refs) == 1}
	for _, ref := range refs {
		kept["Value #"+ref] = len(refs) > 1
	}
	for _, q := range p.Targets {
		by := regexp.MustCompile(`^max by \(([^)]*)\)`).FindStringSubmatch(q.Expr)
		if by == nil {
			t.Fatalf("%s: query %s does not say which labels make a row", at, q.RefID)
		}
		for label := range strings.SplitSeq(by[1], ", ") {
			kept[label] = true
		}
	}
	lintWidth(t, at, p)
	var titles []string
	for _, tr := range p.Transformations {
		for _, field := range tr.Options.Include.Names {
			if title := p.renamed(field); title == "" || strings.HasPrefix(title, "Value") {
				t.Errorf("%s: a column is called %q", at, cmp.Or(title, field))
			}
		}
		for field, title := range tr.Options.RenameByName {
			titles = append(titles, title)
			if !kept[field] {
				t.Errorf("%s: column %s is in no query's result", at, field)
			}
		}
	}
	for _, s := range p.Options.SortBy {
		if !slices.Contains(titles, s.DisplayName) {
			t.Errorf("%s: sorted by %s, which is no column", at, s.DisplayName)
		}
	}
	for _, o := range p.FieldConfig.Overrides {
		if !slices.Contains(titles, o.Matcher.Options) {
			t.Errorf("%s: override for %s, which is no column", at, o.Matcher.Options)
		}
	}
}

// lintWidth wants a table's columns to fit into its panel on a screen of 1440
// pixels: Grafana keeps 16 to either side of the grid, and some in the panel.
func lintWidth(t *testing.T, at string, p panel) {
	t.Helper()
	room := p.GridPos.W*(1440-32)/24 - 24
	need, open := 0, 0
	for _, o := range p.FieldConfig.Overrides {
		width, hidden := 0, false
		for _, property := range o.Properties {
			switch property.ID {
			case "custom.width":
				if err := json.Unmarshal(property.Value, &width); err != nil {
					t.Errorf("%s: %s: %v", at, o.Matcher.Options, err)
				}
			case "custom.hidden":
				hidden = true
			}
		}
		if !hidden && width == 0 {
			width, open = 135, open+1 // what a pod's name takes.
		}
		need += width
	}
	if need > room || open != 1 {
		t.Errorf("%s: the columns take %d of %d pixels, and %d share the rest: want 1", at, need, room, open)
	}
}

// TestPanelQueriesParse gives every query of every dashboard to promtool, as
// recording rules of a file that is thrown away.
func TestPanelQueriesParse(t *testing.T) {
	inserted := strings.NewReplacer(
		"${__from:date:seconds}", "1700000000", "$__rate_interval", "5m", "$__interval", "1m", "$__range", "6h",
		"$cluster", ".*", "$node", ".*", "$namespace", ".*", "$pod", ".*", "$container", ".*")
	var file strings.Builder
	file.WriteString("groups:\n- name: panels\n  rules:\n")
	n := 0
	for _, b := range loadBoards(t) {
		for place, expr := range b.queries() {
			expr = inserted.Replace(expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s %s: a variable is left in %s", b.UID, place, expr)
			}
			fmt.Fprintf(&file, "  - record: panel:query:n%d\n    expr: %q\n", n, expr)
			n++
		}
	}
	path := filepath.Join(t.TempDir(), "panels.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

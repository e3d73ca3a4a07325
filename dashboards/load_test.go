// SPDX-License-Identifier: Apache-2.0

// Package dashboards_test holds the rules, the dashboards, the runbooks and the
// metric reference against each other.
package dashboards_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

// rule is a recording rule or an alert of a Prometheus rule file.
type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Keep        string            `yaml:"keep_firing_for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`

	file string
}

type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files match %s: %v", pattern, err)
	}
	return paths
}

// loadRules reads all rule files; a key that Prometheus does not know is an
// error.
func loadRules(t *testing.T) []rule {
	t.Helper()
	var rules []rule
	for _, path := range glob(t, "rules/*.yaml") {
		var f ruleFile
		if err := yaml.UnmarshalStrict(read(t, path), &f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, g := range f.Groups {
			for _, r := range g.Rules {
				r.file = path
				rules = append(rules, r)
			}
		}
	}
	return rules
}

func alerts(t *testing.T) []rule {
	t.Helper()
	return slices.DeleteFunc(loadRules(t), func(r rule) bool { return r.Alert == "" })
}

// board is what the tests look at in a dashboard.
type board struct {
	UID           string
	Title         string
	Description   string
	Tags          []string
	SchemaVersion int
	Links         []struct {
		Type string
		Tags []string
	}
	Annotations struct {
		List []struct {
			Name, Expr string
			Datasource datasource
		}
	}
	Templating struct {
		List []variable
	}
	Panels []panel

	path string
	raw  string
}

type datasource struct{ Type, UID string }

type variable struct {
	Name, Label, Type, Definition, AllValue string
	Datasource                              *datasource
	IncludeAll, Multi                       bool
	Regex                                   string
	Sort                                    int
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               *datasource
	GridPos                  struct{ H, W, X, Y int }
	Panels                   []panel // of a row that is closed.
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                datasource
		Instant                   bool
	}
	FieldConfig struct {
		Defaults struct {
			Unit       string
			NoValue    string
			Thresholds *struct{ Steps []struct{ Color string } }
		}
		Overrides []struct {
			Matcher    struct{ Options string }
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
	Options struct {
		SortBy []struct{ DisplayName string }
		Legend struct{ ShowLegend bool }
	}
	Transformations []struct {
		ID      string
		Options struct {
			RenameByName map[string]string
			Include      struct{ Names []string }
		}
	}
}

// renamed is what a table calls a field.
func (p *panel) renamed(field string) string {
	for _, tr := range p.Transformations {
		if title := tr.Options.RenameByName[field]; title != "" {
			return title
		}
	}
	return ""
}

func loadBoards(t *testing.T) []board {
	t.Helper()
	var boards []board
	for _, path := range glob(t, "*.json") {
		data := read(t, path)
		b := board{path: path, raw: string(data)}
		if err := json.Unmarshal(data, &b); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all := b.Panels
		for _, p := range b.Panels {
			all = append(all, p.Panels...)
		}
		b.Panels = all
		boards = append(boards, b)
	}
	return boards
}

// promtool runs Prometheus' own checker, or skips where it is not installed.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on PATH (Debian: prometheus)")
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// family is one row of docs/metrics.md.
type family struct {
	labels []string
	off    bool // by default.
	// minimal: in the minimal profile.
	minimal bool
}

var (
	familyRow  = regexp.MustCompile("(?m)^\\| `(oom_[a-z0-9_]+)` \\| \\w+ \\| ([^|]*) \\| (minimal|default|full) \\|")
	guardRow   = regexp.MustCompile("(?m)^\\| `(oom_guard_[a-z_]+)` \\| ([a-z]+) \\| ([a-z, ]*) \\|")
	labelNames = regexp.MustCompile(`[a-z_]+`)
)

// documented reads the metric reference, which is generated from the code.
func documented(t *testing.T) map[string]family {
	t.Helper()
	families := map[string]family{
		// client_golang's version collector, as the page's head says.
		"oom_exporter_build_info": {labels: []string{"version", "revision", "branch", "goversion", "goos", "goarch", "tags"}},
	}
	for _, m := range familyRow.FindAllStringSubmatch(string(read(t, "../docs/metrics.md")), -1) {
		families[m[1]] = family{labels: labelNames.FindAllString(m[2], -1), off: m[3] == "full", minimal: m[3] == "minimal"}
	}
	for _, m := range guardRow.FindAllStringSubmatch(string(read(t, "../docs/guard-reference.md")), -1) {
		families[m[1]] = family{labels: strings.Split(m[3], ", ")}
		if m[2] == "histogram" {
			families[m[1]+"_bucket"] = families[m[1]]
		}
	}
	if len(families) < 50 {
		t.Fatalf("only %d families in docs/metrics.md: has its form changed?", len(families))
	}
	return families
}

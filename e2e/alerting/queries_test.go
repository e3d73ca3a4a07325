// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v2"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// slow is what a query may take at most on so small a Prometheus.
const slow = 2 * time.Second

// tries is how often a time is taken before it is too much: what others do on
// the machine only adds to it.
const tries = 3

// mayBeEmpty gives the queries that have nothing to show here, by a text that
// they contain, with the reason.
func mayBeEmpty(t *testing.T) map[string]string {
	reasons := map[string]string{
		"memory_high":          "no container has a memory.high",
		"headroom:seconds":     "needs two hours of samples",
		"unreclaimable_rise":   "needs two hours of samples",
		"bytes:highest":        "needs six hours of samples",
		"limit_kills:increase": "no pod's limit ran out",
		`severity="critical"`:  "nothing that is critical fires",
	}
	if lab.MemoryHierarchy(t).Version == 1 {
		reasons["pressure"] = "cgroup v1 has no PSI"
	}
	return reasons
}

// queryResult counts what became of the queries.
type queryResult struct {
	tried, full, alerts int
	empty               map[string]string // by their reason's name.
	slowest             time.Duration
}

// tryQueries asks every query of the dashboards and the rules: none may fail,
// be slow, or be empty without a reason.
func (s *stack) tryQueries(t *testing.T) queryResult {
	lab.Eventually(t, time.Minute, "the rules have been evaluated", func() bool {
		return len(s.ask(t, "container:oom_limit_headroom:ratio")) > 0
	})
	// Graphs compare with what was a minute ago, when the exporter may just have
	// been replaced.
	lab.Eventually(t, time.Minute, "the exporter was scraped a minute ago", func() bool {
		return len(s.ask(t, "oom_kills_total offset 1m")) > 0
	})
	excuses := mayBeEmpty(t)
	r := queryResult{empty: map[string]string{}}
	for where, q := range allQueries(t) {
		a, took := s.timed(t, q)
		for try := 1; took > slow && try < tries; try++ {
			t.Logf("%s took %v: it is asked again", where, took)
			a, took = s.timed(t, q)
		}
		r.tried++
		r.slowest = max(r.slowest, took)
		excuse := ""
		for part, why := range excuses {
			if strings.Contains(where+q, part) {
				excuse = why
			}
		}
		switch {
		case a.Status != "success":
			t.Errorf("%s: %s: %s", where, a.Error, q)
		case took > slow:
			t.Errorf("%s took %v: %s", where, took, q)
		case shows(a):
			r.full++
		case isAlert(where):
			r.alerts++
		case excuse == "":
			t.Errorf("%s shows nothing: %s", where, q)
		default:
			r.empty[where] = excuse
		}
	}
	return r
}

// timed is query with the time that it took.
func (p prometheus) timed(t *testing.T, q string) (answer, time.Duration) {
	t.Helper()
	start := time.Now()
	a := p.query(t, q)
	return a, time.Since(start)
}

// shows tells whether there is anything but NaN, which a graph leaves out.
func shows(a answer) bool {
	return slices.ContainsFunc(a.Data.Result, func(s sample) bool { return s.Value[1] != "NaN" })
}

func isAlert(where string) bool { return strings.HasPrefix(where, "alert ") }

// variable is a Grafana variable in a query.
var variable = regexp.MustCompile(`\$\{?([A-Za-z_]+)(:[a-z:]+)?\}?`)

// fill puts values in for the variables.
func fill(q string) string {
	return variable.ReplaceAllStringFunc(q, func(v string) string {
		switch name := variable.FindStringSubmatch(v)[1]; name {
		case "__rate_interval":
			return "1m"
		case "__range", "__interval":
			return "1m"
		case "__from", "__to":
			return "0"
		case "near", "top", "limit":
			return "10"
		default:
			return ".*"
		}
	})
}

// allQueries returns the queries of the dashboards and the rules by where
// they stand.
func allQueries(t *testing.T) map[string]string {
	all := map[string]string{}
	boards, err := filepath.Glob("../../dashboards/*.json")
	if err != nil || len(boards) == 0 {
		t.Fatalf("dashboards: %v, %v", boards, err)
	}
	for _, file := range boards {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board any
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		panels(board, filepath.Base(file), all)
	}
	files, err := filepath.Glob("../../dashboards/rules/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("rules: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rules struct {
			Groups []struct {
				Rules []struct{ Alert, Record, Expr string }
			}
		}
		if err := yaml.Unmarshal(text, &rules); err != nil {
			t.Fatal(err)
		}
		for _, g := range rules.Groups {
			for _, r := range g.Rules {
				if r.Alert != "" {
					all["alert "+r.Alert] = r.Expr
				} else {
					all["rule "+r.Record] = r.Expr
				}
			}
		}
	}
	return all
}

// panels walks a dashboard for the targets' queries.
func panels(node any, where string, all map[string]string) {
	switch n := node.(type) {
	case map[string]any:
		if title, ok := n["title"].(string); ok {
			where += " / " + title
		}
		if name, ok := n["name"].(string); ok && n["iconColor"] != nil {
			where += " / annotation " + name
		}
		if expr, ok := n["expr"].(string); ok {
			ref, _ := n["refId"].(string)
			all[where+" "+ref] = fill(expr)
		}
		for _, child := range n {
			panels(child, where, all)
		}
	case []any:
		for _, child := range n {
			panels(child, where, all)
		}
	}
}

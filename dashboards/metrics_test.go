// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	word     = regexp.MustCompile(`[a-z_]+:[a-z0-9_]+:[a-z0-9]+|\boom_[a-z0-9_]+`)
	quoted   = regexp.MustCompile(`"[^"]*"|\$\{[^}]*\}`)
	matchers = regexp.MustCompile(`(oom_[a-z0-9_]+)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*[=!]~?\s*"`)
	// What looks like a family of ours; other words that begin with oom_ are the
	// kernel's (oom_score_adj, oom_kill) or the program's name.
	ours = regexp.MustCompile(`^oom_(container|pod|slice|process|node|next|exporter|scrape|kills|pending|unattributed|evicted|kill_dup|kmsg|event)_`)
)

// queries returns every PromQL text of rules and dashboards by its place.
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range loadRules(t) {
		all[r.file+" "+r.Record+r.Alert] = r.Expr
		for name, text := range r.Annotations {
			for i, m := range regexp.MustCompile("printf `([^`]*)`").FindAllStringSubmatch(text, -1) {
				all[fmt.Sprint(r.file, " ", r.Alert, " ", name, " ", i)] = strings.ReplaceAll(m[1], "%q", `"x"`)
			}
		}
	}
	for _, b := range loadBoards(t) {
		for place, expr := range b.queries() {
			all[b.path+" "+place] = expr
		}
	}
	return all
}

// TestQueriesUseKnownMetrics holds every query against the metric reference and
// the recording rules, and what it selects by against the family's labels.
func TestQueriesUseKnownMetrics(t *testing.T) {
	families := documented(t)
	recorded := map[string]bool{}
	for _, r := range loadRules(t) {
		recorded[r.Record] = true
	}
	scraped := []string{"cluster", "instance", "node", "job", "exported_container", "exported_pod"} // what scraping adds.
	for place, expr := range queries(t) {
		for _, name := range word.FindAllString(quoted.ReplaceAllString(expr, `""`), -1) {
			f, known := families[name]
			if !known && !recorded[name] {
				t.Errorf("%s: unknown metric %s", place, name)
			}
			// Annotations may show what is off; a panel would be empty.
			if f.off && !strings.Contains(place, " annotation ") {
				t.Errorf("%s: %s is off by default", place, name)
			}
		}
		for _, m := range matchers.FindAllStringSubmatch(expr, -1) {
			for _, label := range matcher.FindAllStringSubmatch(m[2], -1) {
				if f, known := families[m[1]]; known && !slices.Contains(f.labels, label[1]) && !slices.Contains(scraped, label[1]) {
					t.Errorf("%s: %s has no label %s", place, m[1], label[1])
				}
			}
		}
	}
}

// TestMinimalProfile wants of the minimal profile what the rules need, and
// nothing else.
func TestMinimalProfile(t *testing.T) {
	var needed strings.Builder
	for place, expr := range queries(t) {
		if strings.HasPrefix(place, "rules/") && !strings.HasPrefix(place, "rules/guard") {
			needed.WriteString(expr + "\n")
		}
	}
	for name, f := range documented(t) {
		if strings.HasPrefix(name, "oom_guard_") || name == "oom_exporter_build_info" {
			continue // no family of the collectors.
		}
		if used := regexp.MustCompile(`\b` + name + `\b`).MatchString(needed.String()); used != f.minimal {
			t.Errorf("%s: used by rules %v, in the minimal profile %v", name, used, f.minimal)
		}
	}
}

// TestPagesNameKnownMetrics holds every page that people read against the metric
// reference.
func TestPagesNameKnownMetrics(t *testing.T) {
	families := documented(t)
	recorded := map[string]bool{}
	for _, r := range loadRules(t) {
		recorded[r.Record] = true
	}
	pages := 0
	check := func(path string) {
		pages++
		// What a name was before it was renamed may be told, with what it is now.
		text := regexp.MustCompile("`[^`]*` is (now|replaced by) `").ReplaceAllString(string(read(t, path)), "`")
		for _, name := range word.FindAllString(text, -1) {
			if strings.Contains(name, ":") && strings.HasPrefix(name[strings.Index(name, ":")+1:], "oom_") {
				if !recorded[name] {
					t.Errorf("%s: unknown recording rule %s", path, name)
				}
				continue
			}
			if _, known := families[name]; known || !ours.MatchString(name) || strings.HasSuffix(name, "_") {
				continue // oom_pod_* and oom_x_{a,b}: a family's beginning.
			}
			t.Errorf("%s: unknown metric %s", path, name)
		}
	}
	for _, root := range []string{"../docs/runbooks", "../charts/oom-exporter"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".md" {
				check(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range glob(t, "../*.md") {
		check(path)
	}
	if pages < 20 {
		t.Errorf("only %d pages", pages)
	}
}

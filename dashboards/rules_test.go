// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

const runbooks = "https://github.com/oom-exporter/oom_exporter/blob/main/docs/runbooks/"

// TestRules runs every rule's unit tests: fires, does not fire just below,
// resolves.
func TestRules(t *testing.T) {
	promtool(t, append([]string{"check", "rules"}, glob(t, "rules/*.yaml")...)...)
	promtool(t, append([]string{"test", "rules"}, glob(t, "rules/tests/*.yaml")...)...)
}

func TestAlertsAreComplete(t *testing.T) {
	boards := map[string]bool{}
	for _, b := range loadBoards(t) {
		boards[b.UID] = true
	}
	link := regexp.MustCompile(`^/d/(oom-exporter-[a-z]+)(\?|$)`)
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		if seen[a.Alert] {
			t.Errorf("%s: there are two", a.Alert)
		}
		seen[a.Alert] = true
		if !regexp.MustCompile(`^OOM[A-Z][A-Za-z]+$`).MatchString(a.Alert) {
			t.Errorf("%s: not a name that begins with OOM", a.Alert)
		}
		if s := a.Labels["severity"]; !slices.Contains([]string{"critical", "warning", "info"}, s) {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		if s := a.Labels["oom_scope"]; !slices.Contains([]string{"container", "pod", "slice", "node", "exporter"}, s) {
			t.Errorf("%s: oom_scope %q", a.Alert, s)
		}
		if len(a.Labels) != 2 {
			t.Errorf("%s: labels %v: want severity and oom_scope only", a.Alert, a.Labels)
		}
		// What compares a gauge must bear a scrape that fails; absent() is about that.
		if gauge := a.For != "" && a.Labels["oom_scope"] != "exporter"; gauge != (a.Keep == "3m" || a.Keep == "15m") {
			t.Errorf("%s: for %q, keep_firing_for %q", a.Alert, a.For, a.Keep)
		}
		if got, want := a.Annotations["runbook_url"], runbooks+strings.ToLower(a.Alert)+".md"; got != want {
			t.Errorf("%s: runbook_url %q, want %q", a.Alert, got, want)
		}
		if m := link.FindStringSubmatch(a.Annotations["dashboard"]); m == nil || !boards[m[1]] {
			t.Errorf("%s: dashboard %q leads nowhere", a.Alert, a.Annotations["dashboard"])
		}
		for _, name := range []string{"summary", "description"} {
			if text := a.Annotations[name]; text == "" || strings.Contains(text, "\n") {
				t.Errorf("%s: %s %q: want one line", a.Alert, name, text)
			}
		}
		if s := a.Annotations["summary"]; strings.HasSuffix(s, ".") {
			t.Errorf("%s: summary ends with a period", a.Alert)
		}
	}
}

// TestRecordingRules holds the names against level:metric:operation.
func TestRecordingRules(t *testing.T) {
	for _, r := range loadRules(t) {
		if r.Alert == "" && !regexp.MustCompile(`^(container|pod|slice|namespace|namespace_workload|instance|instance_level|cluster|cluster_level|container_cause|namespace_cause|namespace_workload_cause|instance_cause|cluster_cause):[a-z][a-z0-9_]+:[a-z][a-z0-9]*$`).MatchString(r.Record) {
			t.Errorf("%s: record %q is not level:metric:operation", r.file, r.Record)
		}
	}
}

// ruleTests is what the test of a rule file says about alerts.
type ruleTests struct {
	Tests []struct {
		AlertRuleTest []struct {
			EvalTime  string `yaml:"eval_time"`
			Alertname string `yaml:"alertname"`
			ExpAlerts []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	} `yaml:"tests"`
}

// TestEveryAlertIsTested wants of each alert one time at which it fires with its
// full text, and two at which it does not: before and after.
func TestEveryAlertIsTested(t *testing.T) {
	fires, silent := map[string]int{}, map[string]int{}
	for _, path := range glob(t, "rules/tests/*.yaml") {
		var f ruleTests
		if err := yaml.Unmarshal(read(t, path), &f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, test := range f.Tests {
			for _, a := range test.AlertRuleTest {
				if len(a.ExpAlerts) > 0 {
					fires[a.Alertname]++
				} else {
					silent[a.Alertname]++
				}
			}
		}
	}
	known := map[string]bool{}
	for _, a := range alerts(t) {
		known[a.Alert] = true
		if fires[a.Alert] < 1 || silent[a.Alert] < 2 {
			t.Errorf("%s: tested %d times firing, %d times silent; want 1 and 2", a.Alert, fires[a.Alert], silent[a.Alert])
		}
	}
	for name := range fires {
		if !known[name] {
			t.Errorf("a test names %s, which is no alert", name)
		}
	}
}

// TestRunbooks wants one page an alert, one alert a page, and a line of each in
// the index.
func TestRunbooks(t *testing.T) {
	index := string(read(t, "../docs/runbooks/README.md"))
	pages := map[string]bool{}
	for _, a := range alerts(t) {
		page := strings.ToLower(a.Alert) + ".md"
		pages[page] = true
		data, err := os.ReadFile(filepath.Join("../docs/runbooks", page))
		if err != nil {
			t.Error(err)
			continue
		}
		text := string(data)
		if !strings.Contains(text, "\n# "+a.Alert+"\n") {
			t.Errorf("%s: the title is not %s", page, a.Alert)
		}
		at := -1
		for _, part := range []string{"Meaning", "Impact", "Diagnosis", "Mitigation"} {
			i := strings.Index(text, "\n## "+part+"\n")
			if i <= at {
				t.Errorf("%s: part %s is missing or out of order", page, part)
			}
			at = i
		}
		if row := "| [" + a.Alert + "](" + page + ") | " + a.Labels["severity"] + " |"; !strings.Contains(index, row) {
			t.Errorf("README.md of the runbooks lacks the row %q", row)
		}
	}
	for _, path := range glob(t, "../docs/runbooks/*.md") {
		if page := filepath.Base(path); page != "README.md" && !pages[page] {
			t.Errorf("%s: no such alert", path)
		}
	}
}

// TestRunbookCommands holds the commands of the runbooks against the reference
// of flags, which is generated from the code.
func TestRunbookCommands(t *testing.T) {
	reference := string(read(t, "../docs/flags.md")) + string(read(t, "../docs/guard-reference.md"))
	command := regexp.MustCompile(`(?m)[` + "`" + `/ ]oom_exporter ([a-z]+)|^oom_exporter ([a-z]+) `)
	option := regexp.MustCompile("`--(?:no-)?([a-z.-]+)|oom_exporter [a-z]+ --([a-z.-]+)")
	commands := 0
	for _, path := range glob(t, "../docs/runbooks/*.md") {
		text := string(read(t, path))
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			name := m[1] + m[2]
			if slices.Contains([]string{"for"}, name) {
				continue // prose.
			}
			commands++
			if !strings.Contains(reference, "\n## `oom_exporter "+name) {
				t.Errorf("%s: there is no command oom_exporter %s", path, name)
			}
		}
		for _, m := range option.FindAllStringSubmatch(text, -1) {
			if name := m[1] + m[2]; !strings.Contains(reference, "| `--"+name+"` |") && !strings.HasPrefix(name, "collector.") && name != "oom-kill-disable" {
				t.Errorf("%s: there is no flag --%s", path, name)
			}
		}
	}
	if commands < 15 {
		t.Errorf("only %d commands found", commands)
	}
}

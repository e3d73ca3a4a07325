// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v2"
)

// groups are the rules of a file or of a PrometheusRule, by alert or record.
func groups(t *testing.T, text string) map[string]map[string]any {
	t.Helper()
	var parsed struct {
		Groups []struct{ Rules []map[string]any }
		Kind   string
		Spec   struct {
			Groups []struct{ Rules []map[string]any }
		}
	}
	if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	rules := map[string]map[string]any{}
	for _, g := range slices.Concat(parsed.Groups, parsed.Spec.Groups) {
		for _, r := range g.Rules {
			name, _ := r["alert"].(string)
			if name == "" {
				name, _ = r["record"].(string)
			}
			rules[name] = r
		}
	}
	return rules
}

// chartRules are all rules that the chart makes of the values.
func chartRules(t *testing.T, args ...string) map[string]map[string]any {
	t.Helper()
	rules := map[string]map[string]any{}
	text := render(t, kubernetes, append([]string{"--set", "prometheusRule.enabled=true"}, args...)...)
	for object := range strings.SplitSeq(text, "\n---\n") {
		if strings.Contains(object, "kind: PrometheusRule") {
			maps.Copy(rules, groups(t, object))
		}
	}
	return rules
}

// TestDefaultRules wants of the chart's default values the rules that
// dashboards/rules has: their defaults are those of the mixin.
func TestDefaultRules(t *testing.T) {
	want := map[string]map[string]any{}
	for _, path := range glob(t, "../dashboards/rules/*.yaml") {
		maps.Copy(want, groups(t, read(t, path)))
	}
	if len(want) < 50 {
		t.Fatalf("only %d rules", len(want))
	}
	if diff := cmp.Diff(want, chartRules(t)); diff != "" {
		t.Errorf("the chart's rules (-dashboards/rules +chart):\n%s", diff)
	}
}

func TestTunedRules(t *testing.T) {
	rules := chartRules(t, "--set", "prometheusRule.alerts.OOMKillLoop.severity=info",
		"--set", "prometheusRule.alerts.OOMContainerNearLimit.for=7m",
		"--set", "prometheusRule.config.killLoopCount=5",
		"--set-string", "prometheusRule.config.containerNearRatio=0.07",
		"--set", `prometheusRule.config.selector=job="oom"`,
		"--set", `prometheusRule.config.runbookURL=https://wiki.example.com/`,
		"--set", "prometheusRule.ruleLabels.team=platform",
		"--set", "prometheusRule.disabled={OOMScoreAdjMismatch}")
	expr := func(name string) string { text, _ := rules[name]["expr"].(string); return text }
	loop := rules["OOMKillLoop"]
	if diff := cmp.Diff(map[any]any{"severity": "info", "oom_scope": "container", "team": "platform"}, loop["labels"]); diff != "" {
		t.Errorf("labels of OOMKillLoop (-want +got):\n%s", diff)
	}
	if got := loop["annotations"].(map[any]any)["runbook_url"]; got != "https://wiki.example.com/oomkillloop.md" {
		t.Errorf("runbook %v", got)
	}
	if rules["OOMContainerNearLimit"]["for"] != "7m" || rules["OOMContainerNearLimit"]["keep_firing_for"] != "3m" {
		t.Errorf("for %v, keep_firing_for %v", rules["OOMContainerNearLimit"]["for"], rules["OOMContainerNearLimit"]["keep_firing_for"])
	}
	if !strings.HasSuffix(expr("OOMKillLoop"), ">= 5") || !strings.Contains(expr("OOMContainerNearLimit"), "ratio < 0.07") || !strings.Contains(expr("container:oom_limit_headroom:bytes"), `{exported_container="",job="oom"}`) || !strings.Contains(expr("instance:oom_node_unkillable:ratio"), `oom_node_unkillable_bytes{job="oom"}`) {
		t.Errorf("not tuned: %s\n%s\n%s", expr("OOMKillLoop"), expr("OOMContainerNearLimit"), expr("container:oom_limit_headroom:bytes"))
	}
	if rules["OOMScoreAdjMismatch"] != nil {
		t.Error("a disabled alert is there")
	}
}

// TestRulesRefuse wants a setting without an effect to be an error that says
// what to do.
func TestRulesRefuse(t *testing.T) {
	for set, want := range map[string]string{
		"prometheusRule.disabled={OOMKilLoop}":           "there is no alert OOMKilLoop; there are OOMContainer",
		"prometheusRule.alerts.OOMKilLoop.severity=info": "there is no alert OOMKilLoop",
		"prometheusRule.ruleLabels.severity=warning":     "prometheusRule.alerts.NAME.severity",
		"prometheusRule.alerts.OOMKillLoop.severity=x":   "schema",
		"prometheusRule.config.killLoopsCount=4":         "schema",
		"prometheusRule.config.killLoopCount=0":          "schema",
	} {
		out, err := helm(t, "template", "x", chart, "--kube-version", kubernetes, "--values", images, "--set", "prometheusRule.enabled=true", "--set", set)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("--set %s: %v, want %q:\n%s", set, err, want, out)
		}
	}
}

// TestNoPlaceholders wants values for all that the rule files leave open.
func TestNoPlaceholders(t *testing.T) {
	for _, path := range glob(t, "testdata/*.yaml") {
		for line := range strings.Lines(read(t, path)) {
			if strings.Contains(line, "@") && !strings.Contains(line, "sha256") {
				t.Errorf("%s: %s", filepath.Base(path), line)
			}
		}
	}
}

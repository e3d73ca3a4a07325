// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v2"
)

type inhibitRule struct {
	Source []string `yaml:"source_matchers"`
	Target []string `yaml:"target_matchers"`
	Equal  []string `yaml:"equal"`
}

func loadInhibition(t *testing.T) []inhibitRule {
	t.Helper()
	var config struct {
		Rules []inhibitRule `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(read(t, "alertmanager.yaml"), &config); err != nil {
		t.Fatal(err)
	}
	return config.Rules
}

var alertMatcher = regexp.MustCompile(`^(\w+) (=|!=|=~) "?([^"]*)"?$`)

// matches tells whether an alert fits all matchers, as Alertmanager has it.
func matches(t *testing.T, alert map[string]string, list []string) bool {
	t.Helper()
	for _, text := range list {
		m := alertMatcher.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("matcher %q", text)
		}
		value, ok := alert[m[1]], false
		switch m[2] {
		case "=":
			ok = value == m[3]
		case "!=":
			ok = value != m[3]
		case "=~":
			ok = regexp.MustCompile("^(?:" + m[3] + ")$").MatchString(value)
		}
		if !ok {
			return false
		}
	}
	return true
}

// heard returns the alerts that no other one inhibits.
func heard(t *testing.T, firing []map[string]string) []string {
	t.Helper()
	var names []string
	for _, target := range firing {
		inhibited := false
		for _, rule := range loadInhibition(t) {
			for _, source := range firing {
				same := !slices.ContainsFunc(rule.Equal, func(l string) bool { return source[l] != target[l] })
				if same && matches(t, source, rule.Source) && matches(t, target, rule.Target) && !maps.Equal(source, target) {
					inhibited = true
				}
			}
		}
		if !inhibited {
			names = append(names, strings.Trim(target["alertname"]+" "+target["instance"]+" "+target["pod"], " "))
		}
	}
	return names
}

// TestInhibition plays what fires together, and wants what people should hear.
func TestInhibition(t *testing.T) {
	labels := map[string]map[string]string{}
	for _, a := range alerts(t) {
		labels[a.Alert] = a.Labels
	}
	fire := func(name, instance, pod string) map[string]string {
		if labels[name] == nil {
			t.Fatalf("no alert %s", name)
		}
		alert := map[string]string{"alertname": name, "instance": instance}
		maps.Copy(alert, labels[name])
		switch {
		case name == "OOMKillLoop": // of an owner: all of its pods, wherever they are.
			delete(alert, "instance")
			alert["namespace"], alert["workload"], alert["container"] = "shop", pod, "app"
		case pod != "":
			alert["namespace"], alert["pod"], alert["workload"] = "shop", pod, pod
			if alert["oom_scope"] == "container" {
				alert["container"] = "app"
			}
		}
		return alert
	}
	tests := map[string]struct {
		firing []map[string]string
		want   []string
	}{
		"a node that runs full": {
			[]map[string]string{
				fire("OOMNodeKill", "n1", ""), fire("OOMNodeNearLimit", "n1", ""), fire("OOMNodeBelowEvictionThreshold", "n1", ""), fire("OOMKillStorm", "n1", ""),
				fire("OOMNextVictimProtected", "n1", "p1"), fire("OOMContainerKilled", "n1", "p1"), fire("OOMContainerKilled", "n1", "p2"),
				fire("OOMContainerNearLimit", "n1", "p3"), fire("OOMPodNearLimit", "n1", "p3"), fire("OOMSliceNearLimit", "n1", ""), fire("OOMContainerThrashing", "n1", "p4"),
				fire("OOMContainerWillReachLimit", "n1", "p5"), fire("OOMKillUnnoticed", "n1", "p6"),
			},
			[]string{"OOMNodeKill n1"},
		},
		"another node has its own": {
			[]map[string]string{fire("OOMNodeKill", "n1", ""), fire("OOMContainerKilled", "n1", "p1"), fire("OOMContainerKilled", "n2", "p1")},
			[]string{"OOMNodeKill n1", "OOMContainerKilled n2 p1"},
		},
		"a node that is about to": {
			[]map[string]string{
				fire("OOMNodeNearLimit", "n1", ""), fire("OOMNodeBelowEvictionThreshold", "n1", ""), fire("OOMNextVictimProtected", "n1", "p1"),
				fire("OOMContainerNearLimit", "n1", "p1"), fire("OOMPodNearLimit", "n1", "p1"), fire("OOMSliceNearLimit", "n1", ""),
				fire("OOMContainerKilled", "n1", "p2"), // by its own limit: news all the same.
			},
			[]string{"OOMNodeNearLimit n1", "OOMContainerKilled n1 p2"},
		},
		"a storm": {
			[]map[string]string{fire("OOMKillStorm", "n1", ""), fire("OOMContainerKilled", "n1", "p1"), fire("OOMKillUnnoticed", "n1", "p1"), fire("OOMContainerKilled", "n2", "p1")},
			[]string{"OOMKillStorm n1", "OOMContainerKilled n2 p1"},
		},
		"a loop": {
			[]map[string]string{fire("OOMKillLoop", "n1", "p1"), fire("OOMContainerKilled", "n1", "p1"), fire("OOMContainerNearLimit", "n1", "p1"), fire("OOMContainerKilled", "n1", "p2")},
			[]string{"OOMKillLoop", "OOMContainerKilled n1 p2"},
		},
		"a loop on two nodes": {
			[]map[string]string{fire("OOMKillLoop", "n1", "p1"), fire("OOMContainerKilled", "n1", "p1"), fire("OOMContainerKilled", "n2", "p1")},
			[]string{"OOMKillLoop"},
		},
		"a leak, from far to near": {
			[]map[string]string{fire("OOMContainerGrowing", "n1", "p1"), fire("OOMContainerWillReachLimit", "n1", "p1"), fire("OOMContainerGrowing", "n1", "p2")},
			[]string{"OOMContainerWillReachLimit n1 p1", "OOMContainerGrowing n1 p2"},
		},
		"a cluster without exporters": {
			[]map[string]string{fire("OOMExporterAbsent", "", ""), fire("OOMNodeWithoutExporter", "n1", ""), fire("OOMExporterDown", "", ""), fire("OOMExporterRolloutStuck", "", "")},
			[]string{"OOMExporterAbsent"},
		},
		"a bad rollout": {
			[]map[string]string{fire("OOMExporterRolloutStuck", "", ""), fire("OOMNodeWithoutExporter", "n1", ""), fire("OOMNodeWithoutExporter", "n2", ""), fire("OOMExporterDown", "", "")},
			[]string{"OOMExporterRolloutStuck"},
		},
		"near, nearing, and its pod": {
			[]map[string]string{fire("OOMContainerNearLimit", "n1", "p1"), fire("OOMContainerWillReachLimit", "n1", "p1"), fire("OOMPodNearLimit", "n1", "p1"), fire("OOMPodNearLimit", "n1", "p2")},
			[]string{"OOMContainerNearLimit n1 p1", "OOMPodNearLimit n1 p2"},
		},
		"a blind exporter says so even then": {
			[]map[string]string{fire("OOMNodeKill", "n1", ""), fire("OOMExporterBlind", "n1", ""), fire("OOMKillsUnattributed", "n1", "")},
			[]string{"OOMNodeKill n1", "OOMExporterBlind n1", "OOMKillsUnattributed n1"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, heard(t, test.firing)); diff != "" {
				t.Errorf("heard (-want +got):\n%s", diff)
			}
		})
	}
}

// TestInhibitionNamesAlerts wants every alert that a matcher names to exist.
func TestInhibitionNamesAlerts(t *testing.T) {
	var known []string
	for _, a := range alerts(t) {
		known = append(known, a.Alert)
	}
	for _, rule := range loadInhibition(t) {
		// Beyond its node only a workload that has pods on several, and a cluster.
		beyond := slices.Contains(rule.Equal, "workload") || slices.Contains(rule.Source, "alertname = OOMExporterAbsent") || slices.Contains(rule.Source, "alertname = OOMExporterRolloutStuck")
		if rule.Equal[0] != "cluster" || !beyond && rule.Equal[1] != "instance" {
			t.Errorf("%v inhibits beyond its node", rule.Source)
		}
		for _, text := range slices.Concat(rule.Source, rule.Target) {
			m := alertMatcher.FindStringSubmatch(text)
			if m == nil || m[1] != "alertname" {
				continue
			}
			for alternative := range strings.SplitSeq(m[3], "|") {
				if strings.ContainsAny(alternative, "().*") {
					continue // a part of a pattern; TestInhibition plays it.
				}
				if !slices.Contains(known, alternative) {
					t.Errorf("%q: no alert %s", text, alternative)
				}
			}
		}
	}
}

// TestAlertmanagerConfig gives the example to Alertmanager's own checker.
func TestAlertmanagerConfig(t *testing.T) {
	path, err := exec.LookPath("amtool")
	if err != nil {
		t.Skip("amtool is not on PATH (Debian: prometheus-alertmanager)")
	}
	if out, err := exec.Command(path, "check-config", "alertmanager.yaml").CombinedOutput(); err != nil {
		t.Errorf("amtool check-config: %v\n%s", err, out)
	}
}

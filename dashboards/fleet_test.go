// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fleet is a promtool test of two clusters of fifty nodes, whose nodes, pods and
// namespaces have the same names in both.
type fleet struct {
	series strings.Builder
	alerts map[string][]string // by alert: what promtool is to expect, as YAML.
	kills  map[string]int      // by the labels of a roll-up.
}

const fleetTime = 720 // seconds: when all is looked at.

func (f *fleet) add(values, format string, args ...any) {
	fmt.Fprintf(&f.series, "      - {series: '"+format+"', values: '%s'}\n", append(args, values)...)
}

// expect wants an alert with these labels, in this order, and a link to where it
// is.
func (f *fleet) expect(alert, severity, scope, board string, variables []string, labels ...[2]string) {
	text := fmt.Sprintf("{severity: %s, oom_scope: %s", severity, scope)
	byName := map[string]string{}
	for _, l := range labels {
		text += fmt.Sprintf(", %s: %q", l[0], l[1])
		byName[l[0]] = l[1]
	}
	link := "/d/oom-exporter-" + board + "?var-datasource=default"
	for _, v := range variables {
		name := v
		if v == "node" {
			name = "instance"
		}
		value, one := byName[name]
		if !one {
			value = ".*"
		}
		link += "&var-" + v + "=" + value
	}
	link += fmt.Sprintf("&from=%d000&to=%d000", fleetTime-3600, fleetTime+900)
	f.alerts[alert] = append(f.alerts[alert], text+"} "+link)
}

// node is one node: what happens on it depends on its number.
func (f *fleet) node(cluster string, n int) {
	on := fmt.Sprintf(`cluster="%s",instance="node-%d"`, cluster, n)
	f.add("1x30", "kube_node_info{cluster=\"%s\",instance=\"ksm\",node=\"node-%d\",os_image=\"Debian\"}", cluster, n)
	c, i := [2]string{"cluster", cluster}, [2]string{"instance", fmt.Sprint("node-", n)}
	if n == 13 { // no exporter there.
		f.expect("OOMNodeWithoutExporter", "warning", "exporter", "overview", []string{"cluster"}, c, i, [2]string{"node", i[1]})
		return
	}
	f.add("1x30", "up{%s,job=\"oom-exporter\"}", on)
	f.add("1x30", "oom_exporter_build_info{%s}", on)
	namespace, pod := fmt.Sprint("team-", n%5), fmt.Sprint("web-7d4b9c6f5-x2kf", string("bcdfghjklmnpqrstvwxz"[n%20]))
	pod = strings.Replace(pod, "web", fmt.Sprint("web", n), 1)
	workload := fmt.Sprint("web", n)
	labels := fmt.Sprintf(`%s,namespace="%s",pod="%s",container="app"`, on, namespace, pod)
	killed, ranOut := n%10 == 0, n%10 == 1
	count := func(yes bool) string {
		if yes {
			return "0x19 1x10"
		}
		return "0x30"
	}
	f.add(count(killed), "oom_kills_total{%s,level=\"container\"}", on)
	f.add(count(ranOut), "oom_kills_total{%s,level=\"node\"}", on)
	f.add(count(killed), "oom_container_kills_total{%s}", labels)
	f.add(count(killed), "oom_container_ooms_total{%s}", labels)
	f.add("0.5x30", "oom_container_kill_margin_ratio{%s}", labels)
	if killed {
		f.add("_x20 590x10", "oom_container_last_kill_timestamp_seconds{%s}", labels)
		f.kills[fmt.Sprintf(`namespace:oom_container_kills:increase1h{cluster="%s",namespace="%s"}`, cluster, namespace)]++
		f.kills[fmt.Sprintf(`cluster:oom_kills:increase1h{cluster="%s"}`, cluster)]++
		f.expect("OOMContainerKilled", "warning", "container", "workload", []string{"cluster", "node", "namespace", "pod", "container"},
			c, i, [2]string{"namespace", namespace}, [2]string{"pod", pod}, [2]string{"container", "app"}, [2]string{"workload", workload})
	}
	if ranOut {
		f.kills[fmt.Sprintf(`cluster:oom_kills:increase1h{cluster="%s"}`, cluster)]++
		f.expect("OOMNodeKill", "critical", "node", "node", []string{"cluster", "node"}, c, i)
	}
}

// TestTwoClusters wants each alert to name the right cluster, node, namespace,
// owner and link, and each roll-up to stay in its cluster.
func TestTwoClusters(t *testing.T) {
	f := &fleet{alerts: map[string][]string{}, kills: map[string]int{}}
	for _, cluster := range []string{"eu", "us"} {
		for n := range 50 {
			f.node(cluster, n)
		}
		// One workload whose three pods die on three nodes, in one cluster only.
		for n := range 3 {
			on := fmt.Sprintf(`cluster="%s",instance="node-%d",namespace="batch",pod="report-%d",container="app"`, cluster, 20+n, n)
			f.add("0x30", "oom_container_kills_total{%s}", on)
			if cluster == "us" {
				f.add("0x19 1x10", "oom_container_ooms_total{%s}", on)
			}
		}
	}
	f.expect("OOMKillLoop", "critical", "container", "workload", []string{"cluster", "namespace", "container", "pod"},
		[2]string{"cluster", "us"}, [2]string{"namespace", "batch"}, [2]string{"workload", "report"}, [2]string{"container", "app"})
	dir, err := filepath.Abs("rules")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%[1]s/kills.yaml, %[1]s/margins.yaml, %[1]s/exporter.yaml]\nevaluation_interval: 30s\ngroup_eval_order: [oom-kills, oom-margins, oom-exporter]\ntests:\n  - interval: 30s\n    input_series:\n%s    promql_expr_test:\n", dir, f.series.String())
	for alert, expected := range f.alerts {
		// The labels of the alerts, whatever their texts.
		fmt.Fprintf(&b, "      - expr: ALERTS{alertname=%q}\n        eval_time: %ds\n        exp_samples:\n", alert, fleetTime)
		for _, text := range expected {
			labels, _, _ := strings.Cut(text, " /d/")
			labels = strings.NewReplacer(": ", "=", "{severity=", "{severity=").Replace(labels)
			fmt.Fprintf(&b, "          - {labels: 'ALERTS{alertname=\"%s\",alertstate=\"%s\",%s', value: 1}\n", alert, state(alert), quoteLabels(labels))
		}
	}
	for rollup, want := range f.kills {
		fmt.Fprintf(&b, "      - {expr: '%s', eval_time: %ds, exp_samples: [{labels: '%s', value: %d}]}\n", rollup, fleetTime, rollup, want)
	}
	for _, cluster := range []string{"eu", "us"} {
		rollup := fmt.Sprintf(`cluster:oom_container_kill_margin_ratio:min{cluster="%s"}`, cluster)
		fmt.Fprintf(&b, "      - {expr: '%s', eval_time: %ds, exp_samples: [{labels: '%s', value: 0.5}]}\n", rollup, fleetTime, rollup)
	}
	path := filepath.Join(t.TempDir(), "fleet.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", path)
	f.checkLinks(t)
}

// state is how far an alert is by then.
func state(alert string) string {
	if alert == "OOMNodeWithoutExporter" {
		return "pending"
	}
	return "firing"
}

// quoteLabels quotes the values that YAML did not need quoted.
func quoteLabels(text string) string {
	text = strings.TrimPrefix(strings.ReplaceAll(text, ", ", ","), "{")
	for _, name := range []string{"severity", "oom_scope"} {
		before, rest, _ := strings.Cut(text, name+"=")
		value, after, _ := strings.Cut(rest, ",")
		text = before + name + `="` + value + `",` + after
	}
	return text
}

// checkLinks wants the links that the rules' templates make of the labels to
// name just these.
func (f *fleet) checkLinks(t *testing.T) {
	t.Helper()
	templates := map[string]string{}
	for _, a := range alerts(t) {
		templates[a.Alert] = a.Annotations["dashboard"]
	}
	for alert, expected := range f.alerts {
		for _, text := range expected {
			labels, link, _ := strings.Cut(text, " /d/")
			got := templates[alert]
			for pair := range strings.SplitSeq(strings.Trim(labels, "{}"), ", ") {
				name, value, _ := strings.Cut(pair, ": ")
				got = strings.ReplaceAll(got, "{{ $labels."+name+" | urlquery }}", strings.Trim(value, `"`))
			}
			path, _, _ := strings.Cut("/d/"+link, "&from=")
			if !strings.HasPrefix(got, path+"&from=") {
				t.Errorf("%s: link %s, want %s", alert, got, path)
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fleet is a promtool test of two clusters of fifty nodes, whose nodes, pods and
// namespaces have the same names in both.
type fleet struct {
	rules   map[string]rule // the alerts by their names.
	series  strings.Builder
	alerts  map[string][]expected
	rollups map[string]float64 // by the recorded series.
}

// expected is an alert by its labels in their order, and its link.
type expected struct {
	labels [][2]string
	link   string
}

// fleetTime is when all is looked at; kills happen two minutes before.
const fleetTime = 22 * time.Minute

func (f *fleet) add(values, format string, args ...any) {
	fmt.Fprintf(&f.series, "      - {series: '"+format+"', values: '%s'}\n", append(args, values)...)
}

// expect wants an alert with these labels, and a link to where it is.
func (f *fleet) expect(alert, board string, variables []string, labels ...[2]string) {
	byName := map[string]string{}
	for _, l := range labels {
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
	f.alerts[alert] = append(f.alerts[alert], expected{labels, link + "&from="})
}

// node is one node: what happens on it depends on its number.
func (f *fleet) node(cluster string, n int) {
	on := fmt.Sprintf(`cluster="%s",instance="node-%d"`, cluster, n)
	f.add("1x50", "kube_node_info{cluster=\"%s\",instance=\"ksm\",node=\"node-%d\",os_image=\"Debian\"}", cluster, n)
	c, i := [2]string{"cluster", cluster}, [2]string{"instance", fmt.Sprint("node-", n)}
	if n == 13 && cluster == "eu" { // no exporter there.
		f.expect("OOMNodeWithoutExporter", "overview", toCluster, c, i, [2]string{"node", i[1]})
		return
	}
	f.add("1x50", "up{%s,job=\"oom-exporter\"}", on)
	f.add("1x50", "oom_exporter_build_info{%s}", on)
	namespace, pod := fmt.Sprint("team-", n%5), fmt.Sprintf("web%d-7d4b9c6f5-x2kf%c", n, "bcdfghjklmnpqrstvwxz"[n%20])
	workload := fmt.Sprint("web", n)
	labels := fmt.Sprintf(`%s,namespace="%s",pod="%s",container="app"`, on, namespace, pod)
	killed, ranOut := n%10 == 0, n%10 == 1
	count := func(yes bool) string {
		if yes {
			return "0x39 1x10"
		}
		return "0x50"
	}
	f.add(count(killed), "oom_kills_total{%s,level=\"container\"}", on)
	f.add(count(ranOut), "oom_kills_total{%s,level=\"node\"}", on)
	f.add(count(killed), "oom_container_kills_total{%s}", labels)
	f.add(count(killed), "oom_container_ooms_total{%s}", labels)
	margin := 0.5
	if n == 7 && cluster == "us" {
		margin = 0.1
	}
	f.add(fmt.Sprintf("%gx50", margin), "oom_container_kill_margin_ratio{%s}", labels)
	f.rollups[fmt.Sprintf(`instance:oom_container_kill_margin_ratio:min{cluster="%s",instance="node-%d"}`, cluster, n)] = margin
	f.rollups[fmt.Sprintf(`namespace_workload:oom_container_kill_margin_ratio:min{cluster="%s",namespace="%s",workload="%s"}`, cluster, namespace, workload)] = margin
	if killed {
		f.add("_x40 1190x10", "oom_container_last_kill_timestamp_seconds{%s}", labels)
		f.add("_x40 1x10", "oom_container_kill_causes_total{%s,cause=\"leak\",grew=\"anon\"}", labels)
		f.expect("OOMContainerKilled", "workload", toContainer,
			c, i, [2]string{"namespace", namespace}, [2]string{"pod", pod}, [2]string{"container", "app"}, [2]string{"workload", workload})
		f.rollUpKill(cluster, i[1], namespace, workload)
	}
	if ranOut {
		f.rollups[fmt.Sprintf(`cluster:oom_kills:increase1h{cluster="%s"}`, cluster)]++
		f.rollups[fmt.Sprintf(`instance:oom_kills:increase1h{cluster="%s",instance="%s"}`, cluster, i[1])]++
		f.expect("OOMNodeKill", "node", toNode, c, i)
	}
}

// rollUpKill wants a kill, and its cause, in each roll-up that it belongs to.
func (f *fleet) rollUpKill(cluster, instance, namespace, workload string) {
	inCluster := fmt.Sprintf(`{cluster="%s"`, cluster)
	inNamespace := fmt.Sprintf(`%s,namespace="%s"`, inCluster, namespace)
	ofWorkload := fmt.Sprintf(`%s,workload="%s",container="app"`, inNamespace, workload)
	onInstance := fmt.Sprintf(`%s,instance="%s"`, inCluster, instance)
	for _, series := range []string{
		"cluster:oom_kills:increase1h" + inCluster, "instance:oom_kills:increase1h" + onInstance,
		"namespace:oom_container_kills:increase1h" + inNamespace, "namespace_workload:oom_container_kills:increase1h" + ofWorkload,
	} {
		f.rollups[series+"}"]++
	}
	for _, series := range []string{"cluster_cause" + ":%s" + inCluster, "instance_cause:%s" + onInstance, "namespace_cause:%s" + inNamespace, "namespace_workload_cause:%s" + ofWorkload} {
		f.rollups[fmt.Sprintf(series, "oom_container_kill_causes:increase1h")+`,cause="leak"}`]++
	}
}

// storm kills in five containers of a node in one cluster, and in four in the
// other.
func (f *fleet) storm() {
	for cluster, killed := range map[string]int{"eu": 4, "us": 5} {
		c, i := [2]string{"cluster", cluster}, [2]string{"instance", "node-49"}
		for k := range killed {
			labels := fmt.Sprintf(`cluster="%s",instance="node-49",namespace="batch",pod="burst%d-0",container="app"`, cluster, k)
			f.add("0x39 1x10", "oom_container_kills_total{%s}", labels)
			f.expect("OOMContainerKilled", "workload", toContainer,
				c, i, [2]string{"namespace", "batch"}, [2]string{"pod", fmt.Sprintf("burst%d-0", k)}, [2]string{"container", "app"}, [2]string{"workload", fmt.Sprint("burst", k)})
		}
		if killed == 5 {
			f.expect("OOMKillStorm", "kills", toNode, c, i)
		}
	}
}

// loop has one workload whose three pods die on three nodes, in one cluster only.
func (f *fleet) loop() {
	for _, cluster := range []string{"eu", "us"} {
		for n := range 3 {
			on := fmt.Sprintf(`cluster="%s",instance="node-%d",namespace="batch",pod="report-%d",container="app"`, cluster, 20+n, n)
			f.add("0x50", "oom_container_kills_total{%s}", on)
			if cluster == "us" {
				f.add("0x39 1x10", "oom_container_ooms_total{%s}", on)
			}
		}
	}
	f.expect("OOMKillLoop", "workload", []string{"cluster", "namespace", "container", "pod"},
		[2]string{"cluster", "us"}, [2]string{"namespace", "batch"}, [2]string{"workload", "report"}, [2]string{"container", "app"})
}

// incidents happen on a node each, in turns in the one cluster and the other.
func (f *fleet) incidents() {
	for k, in := range fleetIncidents() {
		sick := []string{"eu", "us"}[k%2]
		instance := fmt.Sprint("node-", 23+k)
		for _, cluster := range []string{"eu", "us"} {
			for _, s := range in.series {
				values := s[2]
				if cluster == sick {
					values = s[1]
				}
				f.add(values, "%s", strings.NewReplacer("$cluster", cluster, "$instance", instance).Replace(s[0]))
			}
		}
		labels := [][2]string{{"cluster", sick}}
		if !in.everyNode {
			labels = append(labels, [2]string{"instance", instance})
		}
		f.expect(in.alert, in.board, in.variables, append(labels, in.labels...)...)
	}
}

// TestTwoClusters wants each alert to name the right cluster, node, namespace,
// owner and link, and each roll-up to stay in its cluster.
func TestTwoClusters(t *testing.T) {
	f := &fleet{alerts: map[string][]expected{}, rollups: map[string]float64{}, rules: map[string]rule{}}
	for _, a := range alerts(t) {
		f.rules[a.Alert] = a
	}
	for _, cluster := range []string{"eu", "us"} {
		for n := range 50 {
			f.node(cluster, n)
		}
	}
	f.loop()
	f.storm()
	f.incidents()
	// A cluster that had an exporter.
	f.add("1x10", `oom_exporter_build_info{cluster="ap",instance="node-1"}`)
	f.expect("OOMExporterAbsent", "overview", toCluster, [2]string{"cluster", "ap"})
	for cluster, least := range map[string]float64{"eu": 0.5, "us": 0.1} {
		f.rollups[fmt.Sprintf(`cluster:oom_container_kill_margin_ratio:min{cluster="%s"}`, cluster)] = least
		f.rollups[fmt.Sprintf(`namespace:oom_container_kill_margin_ratio:min{cluster="%s",namespace="team-2"}`, cluster)] = least
	}
	for name := range f.rules {
		if len(f.alerts[name]) == 0 {
			t.Errorf("nothing in the fleet makes %s fire", name)
		}
	}
	path := filepath.Join(t.TempDir(), "fleet.yaml")
	if err := os.WriteFile(path, []byte(f.test(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", path)
	f.checkLinks(t)
}

// test is the promtool test of all that is expected: these alerts and no others.
func (f *fleet) test(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("rules")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%s/*.yaml]\nevaluation_interval: 30s\ngroup_eval_order: [oom-kills, oom-margins, oom-forecast, oom-exporter, oom-guard]\ntests:\n  - interval: 30s\n    input_series:\n%s    promql_expr_test:\n", dir, f.series.String())
	for alert, all := range f.alerts {
		fmt.Fprintf(&b, "      - expr: ALERTS{alertname=%q}\n        eval_time: %v\n        exp_samples:\n", alert, fleetTime)
		for _, e := range all {
			r := f.rules[alert]
			fmt.Fprintf(&b, "          - {labels: 'ALERTS{alertname=%q,alertstate=%q,severity=%q,oom_scope=%q", alert, f.state(t, r), r.Labels["severity"], r.Labels["oom_scope"])
			for _, l := range e.labels {
				fmt.Fprintf(&b, ",%s=%q", l[0], l[1])
			}
			b.WriteString("}', value: 1}\n")
		}
	}
	for series, want := range f.rollups {
		fmt.Fprintf(&b, "      - {expr: '%s', eval_time: %v, exp_samples: [{labels: '%s', value: %g}]}\n", series, fleetTime, series, want)
	}
	return b.String()
}

// state is how far an alert is whose cause has been there from the start, or, of
// an exporter that is absent, for seven minutes.
func (f *fleet) state(t *testing.T, r rule) string {
	t.Helper()
	if r.For == "" {
		return "firing"
	}
	wait, err := time.ParseDuration(r.For)
	if err != nil {
		t.Fatalf("%s: %v", r.Alert, err)
	}
	if wait > fleetTime || r.Alert == "OOMExporterAbsent" {
		return "pending"
	}
	return "firing"
}

// checkLinks wants the links that the rules' templates make of the labels to
// name just these, and the texts to name the cluster.
func (f *fleet) checkLinks(t *testing.T) {
	t.Helper()
	for alert, all := range f.alerts {
		annotations := f.rules[alert].Annotations
		if !strings.Contains(annotations["summary"]+annotations["description"], "{{ with $labels.cluster }} in cluster {{ . }}{{ end }}") {
			t.Errorf("%s: no text names the cluster", alert)
		}
		for _, e := range all {
			got := annotations["dashboard"]
			for _, l := range e.labels {
				got = strings.ReplaceAll(got, "{{ $labels."+l[0]+" | urlquery }}", l[1])
			}
			if !strings.HasPrefix(got, e.link) {
				t.Errorf("%s: link %s, want %s", alert, got, e.link)
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var killCounter = regexp.MustCompile(`\boom_(?:container_|pod_limit_|node_)?(?:survived_|unattributed_)?(?:kills|ooms|kill_causes)_total\{`)

// TestKillsHaveOneMeaning: on every dashboard, a number of kills is that of the
// processes killed in the dashboard's time range, and a graph has those of each
// step. Neither extrapolates, and nothing shows totals since counting began.
func TestKillsHaveOneMeaning(t *testing.T) {
	numbers, graphs := 0, 0
	for _, b := range loadBoards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				if !killCounter.MatchString(q.Expr) || p.Title == "Balance" { // which holds two totals against each other.
					continue
				}
				at := fmt.Sprintf("%s: panel %q, query %s", b.UID, p.Title, q.RefID)
				want := "offset $__range"
				if p.Type == "timeseries" {
					want = "offset $__interval"
					graphs++
				} else {
					numbers++
				}
				if strings.Contains(q.Expr, "increase(") || strings.Contains(q.Expr, "rate(") || !strings.Contains(q.Expr, want) {
					t.Errorf("%s counts in another way: %s", at, q.Expr)
				}
				if d := p.Description; !strings.Contains(d, "this time range") && !strings.Contains(d, "per step") {
					t.Errorf("%s: the description does not say of which time: %s", at, d)
				}
			}
		}
	}
	if numbers < 12 || graphs < 6 {
		t.Errorf("only %d numbers and %d graphs of kills found", numbers, graphs)
	}
}

// TestKillsInRange gives promtool what the panels ask, for counters that rise, are
// born with a kill, begin anew, dip and rest.
func TestKillsInRange(t *testing.T) {
	ask := func(uid, title string) string {
		for _, b := range loadBoards(t) {
			for _, p := range b.Panels {
				if b.UID == uid && p.Title == title {
					return strings.NewReplacer("$__range", "1h", "$__interval", "1m", "$cluster", ".*", "$node", ".*", "$namespace", ".*", "$pod", ".*", "$container", ".*").Replace(p.Targets[0].Expr)
				}
			}
		}
		t.Fatalf("%s has no panel %s", uid, title)
		return ""
	}
	ofNode, ofWorkload, bars := ask("oom-exporter-overview", "Kills, all namespaces"), ask("oom-exporter-workload", "Kills"), ask("oom-exporter-workload", "Kills over time")
	other := ask("oom-exporter-kills", "All kills")
	if other != ofNode || ask("oom-exporter-node", "Kills") != ofNode {
		t.Errorf("kills of nodes are counted in two ways:\n%s\n%s", ofNode, other)
	}
	// Four hours by the minute; asked at three, so the range begins at two.
	shapes := []struct {
		name, values   string
		node, workload int
	}{
		{"rests", "7x240", 0, 0},
		{"rises", "7x130 8x20 10x90", 3, 3},
		{"rose before", "0x60 5x180", 0, 0},
		{"born at 0 and killed", "_x140 0x10 2x90", 2, 2},
		{"born with its kill", "_x150 3x90", 0, 3}, // a node's counters are all there at 0 from the first scrape.
		{"dips and comes back", "10x130 7x5 10x105", 0, 0},
		{"dips where the range begins", "10x115 7x10 10x115", 0, 0},
		{"dips, and then counts", "10x130 7x5 11x105", 1, 1},
		{"begins anew", "9x130 _x2 0x20 2x90", 2, 2},
		{"is not scraped where the range begins", "4x110 _x20 5x110", 1, 1},
		{"is gone", "4x130 6x10 _x100", 2, 2},
	}
	var b strings.Builder
	b.WriteString("evaluation_interval: 1m\ntests:\n")
	for _, s := range shapes {
		for series, want := range map[string]struct {
			expr string
			n    int
		}{
			`oom_kills_total{cluster="c",instance="n",level="container"}`:                               {ofNode, s.node},
			`oom_container_kills_total{cluster="c",instance="n",namespace="s",pod="p",container="app"}`: {ofWorkload, s.workload},
		} {
			fmt.Fprintf(&b, "  - name: %s\n    interval: 1m\n    input_series: [{series: '%s', values: '%s'}]\n    promql_expr_test: [{expr: '%s', eval_time: 3h, exp_samples: [{labels: '{}', value: %d}]}]\n", s.name, series, s.values, want.expr, want.n)
		}
	}
	// A bar for a kill that a series is born with, none when Prometheus was away.
	fmt.Fprintf(&b, `  - name: bars
    interval: 1m
    input_series:
      - {series: 'oom_container_kills_total{cluster="c",instance="n",namespace="s",pod="p",container="born"}', values: '_x150 3x90'}
      - {series: 'oom_container_kills_total{cluster="c",instance="n",namespace="s",pod="p",container="away"}', values: '5x140 _x9 5x90'}
    promql_expr_test:
      - {expr: '%[1]s', eval_time: 150m, exp_samples: [{labels: '{container="born"}', value: 3}]}
      - {expr: '%[1]s', eval_time: 152m, exp_samples: [{labels: '{container="born"}', value: 0}, {labels: '{container="away"}', value: 0}]}
`, bars)
	path := filepath.Join(t.TempDir(), "kills.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", path)
}

// TestWorkloadOpensOnTheWorst: the first value of the variables is that of the
// container with the smallest share of its limit left; Grafana takes the first
// where the link names none.
func TestWorkloadOpensOnTheWorst(t *testing.T) {
	exprs := map[string]string{}
	for _, b := range loadBoards(t) {
		for _, v := range b.Templating.List {
			if b.UID != "oom-exporter-workload" || v.Name != "pod" && v.Name != "container" {
				continue
			}
			if v.Multi || v.IncludeAll || v.Sort != 0 || v.Regex != `/`+v.Name+`="([^"]*)"/` {
				t.Errorf("variable %s would open on another value: %+v", v.Name, v)
			}
			exprs[v.Name] = b.queries()[" variable "+v.Name]
		}
	}
	// The order of sort() is not promtool's to test: it compares sets. So this asks
	// for what is first.
	first := func(name, pod string) string {
		expr := strings.NewReplacer("$cluster", ".*", "$node", ".*", "$namespace", ".*", "$pod", pod).Replace(exprs[name])
		inner, found := strings.CutPrefix(expr, "sort(")
		if !found {
			t.Fatalf("variable %s is not sorted: %s", name, expr)
		}
		return "bottomk(1, " + inner
	}
	const ratio = `oom_container_kill_margin_ratio{cluster="c",instance="n",namespace="s",`
	pods := "      - {series: '" + ratio + `pod="web-0",container="app"}', values: '0.4x9'}` +
		"\n      - {series: '" + ratio + `pod="web-1",container="app"}', values: '0.2x9'}` +
		"\n      - {series: '" + ratio + `pod="web-1",container="proxy"}', values: '0.1x9'}` + "\n"
	unit := `      - {series: 'oom_container_kill_margin_ratio{cluster="c",instance="n",container="nginx.service"}', values: '0.05x9'}` + "\n"
	var b strings.Builder
	b.WriteString("tests:\n")
	for _, c := range []struct{ series, expr, want string }{
		{pods, first("pod", ""), `{labels: '{pod="web-1"}', value: 0.1}`},
		{pods, first("container", "web-1"), `{labels: '{container="proxy"}', value: 0.1}`},
		{pods + unit, first("pod", ""), `{labels: '{pod=".*"}', value: 0.05}`},
		{pods + unit, first("container", ".*"), `{labels: '{container="nginx.service"}', value: 0.05}`},
		{"      - {series: 'up', values: '1x9'}\n", first("pod", ""), `{labels: '{pod=".*"}', value: 2}`},
	} {
		fmt.Fprintf(&b, "  - interval: 1m\n    input_series:\n%s    promql_expr_test: [{expr: '%s', eval_time: 5m, exp_samples: [%s]}]\n", c.series, c.expr, c.want)
	}
	path := filepath.Join(t.TempDir(), "worst.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", path)
}

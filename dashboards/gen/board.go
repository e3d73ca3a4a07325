// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// gridWidth is the width of Grafana's grid.
const gridWidth = 24

// tag marks our dashboards: the links among them go by it.
const tag = "oom-exporter"

// board builds one dashboard from top to bottom.
type board struct {
	dashboard
	y, id int
}

func newBoard(uid, title, description string, variables ...variable) *board {
	return &board{dashboard: dashboard{
		UID: "oom-exporter-" + uid, Title: title, Description: description,
		Tags: []string{tag, "oom", "memory"}, SchemaVersion: schemaVersion, Editable: true, GraphTooltip: 1,
		Refresh: "30s", Timezone: "browser", Time: timeRange{From: "now-6h", To: "now"},
		Links: []link{{Title: "OOM dashboards", Type: "dashboards", Tags: []string{tag}, Icon: "external link", IncludeVars: true, KeepTime: true}},
		Annotations: annotations{List: []annotation{{
			Name: "Annotations & Alerts", Datasource: source{Type: "grafana", UID: "-- Grafana --"},
			BuiltIn: 1, Enable: true, Hide: true, IconColor: "rgba(0, 211, 255, 1)", Type: "dashboard",
		}}},
		Templating: templating{List: append([]variable{datasource()}, variables...)},
	}}
}

// row begins a part of the dashboard with a heading.
func (b *board) row(title string) {
	b.id++
	b.Panels = append(b.Panels, panel{
		ID: b.id, Type: "row", Title: title, GridPos: gridPos{H: 1, W: gridWidth, Y: b.y}, Collapsed: new(bool), Panels: &[]panel{},
	})
	b.y++
}

// folded adds a collapsed row as the last part: most installations have no data for it.
func (b *board) folded(title string, height int, panels ...panel) {
	b.row(title)
	row := &b.Panels[len(b.Panels)-1]
	inside := board{y: b.y, id: b.id}
	inside.line(height, even(len(panels)), panels...)
	closed := true
	row.Collapsed, row.Panels = &closed, &inside.Panels
	b.id = inside.id
}

// line puts panels side by side, each as wide as its share of the grid.
func (b *board) line(height int, shares []int, panels ...panel) {
	x := 0
	for i, p := range panels {
		b.id++
		p.ID, p.GridPos = b.id, gridPos{H: height, W: shares[i], X: x, Y: b.y}
		x += shares[i]
		b.Panels = append(b.Panels, p)
	}
	b.y += height
}

// even shares the grid among n panels.
func even(n int) []int {
	shares := make([]int, n)
	for i := range shares {
		shares[i] = gridWidth / n
	}
	return shares
}

// kills marks each kill at the kernel's time of it, not at a scrape's.
func (b *board) kills(selector string) {
	b.Annotations.List = append(b.Annotations.List, annotation{
		Name: "Kills", Datasource: prometheus(), Enable: true, IconColor: red, UseValueForTime: true, Step: "30s",
		Expr:        fmt.Sprintf("oom_container_last_kill_timestamp_seconds{%s} * 1000", selector),
		TitleFormat: "OOM kill", TextFormat: "{{namespace}} {{pod}} {{container}} on {{instance}}", TagKeys: "namespace,container",
	})
}

// starts marks when containers began, where the family is switched on.
func (b *board) starts(selector string) {
	b.Annotations.List = append(b.Annotations.List, annotation{
		Name: "Starts", Datasource: prometheus(), Enable: true, IconColor: blue, UseValueForTime: true, Step: "30s",
		Expr:        fmt.Sprintf("oom_container_start_time_seconds{%s} * 1000", selector),
		TitleFormat: "Container started", TextFormat: "{{namespace}} {{pod}} {{container}} on {{instance}}", TagKeys: "namespace,container",
	})
}

// alerts marks the alerts that page somebody: those of severity critical.
func (b *board) alerts(selector string) {
	b.Annotations.List = append(b.Annotations.List, annotation{
		Name: "Alerts", Datasource: prometheus(), Enable: true, IconColor: orange, Step: "30s",
		Expr:        fmt.Sprintf(`ALERTS{alertname=~"OOM.*",alertstate="firing",severity="critical",%s}`, selector),
		TitleFormat: "{{alertname}}", TextFormat: "{{instance}} {{namespace}} {{pod}} {{container}}", TagKeys: "severity",
	})
}

func datasource() variable {
	return variable{
		Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1,
		Options: []any{},
	}
}

// choice is a variable with the values of a label. "All" matches series without the
// label, too.
func choice(name, label, series, of string, multi bool) variable {
	ds := prometheus()
	query := fmt.Sprintf("label_values(%s, %s)", series, of)
	v := variable{
		Name: name, Label: label, Type: "query", Datasource: &ds, Definition: query,
		Query:   map[string]any{"query": query, "refId": "Variable-" + name, "qryType": 1},
		Refresh: 2, Sort: 1, Multi: multi, IncludeAll: multi, Options: []any{},
	}
	if multi {
		v.AllValue = ".*"
		v.Current = map[string]any{"text": []string{"All"}, "value": []string{"$__all"}}
	}
	return v
}

// worst is a single-choice variable: it offers the values of a label, that of the container
// nearest to a kill first, and .* for all of them last. Containers without the label (a unit
// has no pod) count as .*, which moves up if one of them is nearer: the dashboard opens on
// the worst of all. Grafana's own "All" is left out, since it would be chosen first. Queries
// use the value as it is, as a regular expression.
func worst(name, label, selector string) variable {
	ds := prometheus()
	query := fmt.Sprintf(`query_result(sort(min by (%[1]s) (label_replace(oom_container_kill_margin_ratio{%[2]s}, "%[1]s", ".*", "%[1]s", "")) or label_replace(vector(2), "%[1]s", ".*", "", "")))`, name, selector)
	return variable{
		Name: name, Label: label, Type: "query", Datasource: &ds, Definition: query,
		Query:   map[string]any{"query": query, "refId": "Variable-" + name, "qryType": 3},
		Regex:   fmt.Sprintf(`/%s="([^"]*)"/`, name),
		Refresh: 2, Options: []any{},
	}
}

// Selectors, each of which includes the one before it, and the labels to group by.
const (
	onCluster       = `cluster=~"$cluster"`
	onNode          = onCluster + `,instance=~"$node"`
	inNamespace     = onNode + `,namespace=~"$namespace"`
	inPod           = inNamespace + `,pod=~"$pod"`
	inContainer     = inPod + `,container=~"$container"`
	labelsOfW       = "cluster, instance, namespace, pod, container"
	labelsOfProcess = labelsOfW + ", pid, comm"
	labelsOfPod     = "cluster, instance, namespace, pod"
	labelsOfNode    = "cluster, instance"
	labelsOfSlice   = "cluster, instance, cgroup"
)

func clusterChoice() variable {
	return choice("cluster", "Cluster", "oom_exporter_build_info", "cluster", true)
}

func nodeChoice(multi bool) variable {
	return choice("node", "Node", "oom_exporter_build_info{"+onCluster+"}", "instance", multi)
}

func namespaceChoice() variable {
	return choice("namespace", "Namespace", "oom_container_kills_total{"+onNode+"}", "namespace", true)
}

// gained is by how much each counter rose in the dashboard's time range: what all
// panels mean by kills. Unlike increase() it gives whole numbers. A counter that
// dips and comes back has not risen; one that fell for good began anew.
func gained(counter, selector string) string {
	last, before, least := overRange(counter, selector)
	return fmt.Sprintf("((%s - %s >= 0) or (%s - %s))", last, before, last, least)
}

// gainedByWorkloads is the same for the counters of workloads. Some of them appear only
// with their first kill, so that there is nothing to subtract: a series that was not
// there before the range began counts in full.
func gainedByWorkloads(counter, selector string) string {
	last, before, least := overRange(counter, selector)
	return fmt.Sprintf("((%s - %s >= 0) or (%s unless %s) or (%s - %s))", last, before, last, before, last, least)
}

// overRange returns a counter's last value in the range, its highest in the hour
// before the range, and its lowest in the range.
func overRange(counter, selector string) (last, before, least string) {
	series := fmt.Sprintf("%s{%s}", counter, selector)
	return "last_over_time(" + series + "[$__range])", "max_over_time(" + series + "[1h] offset $__range)", "min_over_time(" + series + "[$__range])"
}

func total(expr string) string { return "sum(" + expr + ") or vector(0)" }

// stepOf is what a counter gained within a step of the graph: exact, where
// increase() would extrapolate.
func stepOf(counter, selector, by string) string {
	series := fmt.Sprintf("%s{%s}", counter, selector)
	return fmt.Sprintf("sum by (%s) (clamp_min(%s - %s offset $__interval, 0))", by, series, series)
}

// stepOfWorkloads is the same for the counters of workloads: one that appears only with
// its first kill shows that kill in its first step.
func stepOfWorkloads(counter, selector, by string) string {
	series := fmt.Sprintf("%s{%s}", counter, selector)
	return fmt.Sprintf("sum by (%s) (clamp_min(%s - %s offset $__interval, 0) or (%s unless %s offset 1h))", by, series, series, series, series)
}

// perRow strips the labels that a row of a table does not show.
func perRow(labels, expr string) string {
	return fmt.Sprintf("max by (%s) (%s)", labels, strings.Join(strings.Fields(expr), " "))
}

// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// column is one column of a table: a label, or "Value #A" for query A.
type column struct {
	field, title, unit string
	width              int         // 0: the width that is left.
	scale              *thresholds // colours the value; nil leaves it plain.
	url                string      // where a click leads.
	hidden             bool        // used only in the links of other columns.
}

// Where a click on a name leads. Each link passes on the variables that its
// target has.
const (
	toWorkload = "/d/oom-exporter-workload?${datasource:queryparam}&${cluster:queryparam}&var-namespace=${__data.fields.Namespace}" +
		"&var-pod=${__data.fields.Pod}&var-container=${__data.fields.Container}&${__url_time_range}"
	toNode = "/d/oom-exporter-node?${datasource:queryparam}&${cluster:queryparam}&var-node=${__data.fields.Node}&${__url_time_range}"
)

// workloadColumns are the columns that name a workload.
func workloadColumns() []column {
	return []column{
		{field: "namespace", title: "Namespace", width: 95},
		{field: "pod", title: "Pod", url: toWorkload},
		{field: "container", title: "Container", width: 100, url: toWorkload},
	}
}

func nodeColumn() column { return column{field: "instance", title: "Node", width: 90, url: toNode} }

// table joins the queries' results into one row per label set, shows only the
// given columns, in their order, and sorts by one of them.
func table(title, description string, columns []column, sortBy string, descending bool, queries ...query) panel {
	ds := prometheus()
	names, order, include := map[string]string{}, map[string]int{}, map[string]bool{}
	var overrides []override
	for i, c := range columns {
		names[c.field], order[c.field], include[c.field] = c.title, i, true
		overrides = append(overrides, override{Matcher: matcher{ID: "byName", Options: c.title}, Properties: c.properties()})
	}
	return panel{
		Type: "table", Title: title, Description: description, Datasource: &ds, Targets: targets(true, queries),
		FieldConfig: &fieldConfig{
			Defaults: defaults{
				Unit: "short", NoValue: notScraped, Thresholds: from(grey),
				Custom: map[string]any{"align": "auto", "filterable": false, "inspect": false, "cellOptions": map[string]any{"type": "auto"}},
			},
			Overrides: overrides,
		},
		Options: map[string]any{
			"showHeader": true, "cellHeight": "sm",
			"sortBy": []any{map[string]any{"displayName": sortBy, "desc": descending}},
		},
		Transformations: []transform{
			{ID: "merge", Options: map[string]any{}},
			{ID: "filterFieldsByName", Options: map[string]any{"include": map[string]any{"names": fields(columns)}}},
			{ID: "organize", Options: map[string]any{"indexByName": order, "renameByName": names, "excludeByName": map[string]bool{}}},
		},
	}
}

func fields(columns []column) []string {
	list := make([]string, 0, len(columns))
	for _, c := range columns {
		list = append(list, c.field)
	}
	return list
}

func (c column) properties() []property {
	list := []property{{ID: "noValue", Value: "-"}} // per cell; empty tables have notScraped.
	if c.hidden {
		// hideFrom is the name in Grafana 12 and later, hidden the one before.
		list = append(list,
			property{ID: "custom.hideFrom", Value: map[string]bool{"viz": true, "legend": false, "tooltip": false}},
			property{ID: "custom.hidden", Value: true})
	}
	if c.width > 0 {
		list = append(list, property{ID: "custom.width", Value: c.width})
	}
	if c.unit != "" {
		list = append(list, property{ID: "unit", Value: c.unit})
	} else if !strings.HasPrefix(c.field, "Value") { // a PID is no number to shorten, nor is a pod called 1000.
		list = append(list, property{ID: "unit", Value: "string"})
	}
	if c.scale != nil {
		list = append(list,
			property{ID: "thresholds", Value: c.scale},
			property{ID: "custom.cellOptions", Value: map[string]any{"type": "color-text"}})
	}
	if c.url != "" {
		list = append(list, property{ID: "links", Value: []dataLink{{Title: "Open " + c.title, URL: c.url}}})
	}
	return list
}

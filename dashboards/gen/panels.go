// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// The colours of a kill, of what is near one, and of what is well.
const (
	red    = "red"
	orange = "orange"
	green  = "green"
	blue   = "blue"
	grey   = "text"
)

func prometheus() source { return source{Type: "prometheus", UID: "${datasource}"} }

// query is one query of a panel, and what its series are called.
type query struct{ expr, legend string }

// q makes a query; line breaks in expr are for reading only.
func q(expr, legend string) query {
	return query{expr: strings.Join(strings.Fields(expr), " "), legend: legend}
}

// from builds the steps of a scale: the lowest colour, then pairs of a value and the
// colour from there on.
func from(first string, pairs ...any) *thresholds {
	t := &thresholds{Mode: "absolute", Steps: []step{{Color: first}}}
	for i := 0; i+1 < len(pairs); i += 2 {
		value, _ := pairs[i].(float64)
		name, _ := pairs[i+1].(string)
		t.Steps = append(t.Steps, step{Color: name, Value: &value})
	}
	return t
}

// The scales in use: the same bounds as the alerts have.
func ratioScale() *thresholds { return from(red, 0.05, orange, 0.15, green) }
func zeroScale() *thresholds  { return from(green, 1.0, red) }
func plainScale() *thresholds { return from(blue) }

// targets numbers the queries A, B, C.
func targets(instant bool, queries []query) []target {
	list := make([]target, 0, len(queries))
	for i, each := range queries {
		format := "time_series"
		if instant {
			format = "table"
		}
		list = append(list, target{
			RefID: string(rune('A' + i)), Datasource: prometheus(), Expr: each.expr, LegendFormat: each.legend,
			Format: format, Instant: instant, Range: !instant, EditorMode: "code",
		})
	}
	return list
}

// stat is one big number, of a query that gives one series.
func stat(title, description, unit string, scale *thresholds, of query) panel {
	ds := prometheus()
	list := targets(true, []query{of})
	list[0].Format = "time_series"
	mode := "value"
	if unit == "string" {
		mode = "name" // the legend is the answer.
	}
	digits := 0
	d := defaults{Unit: unit, NoValue: notScraped, Thresholds: scale, Color: &color{Mode: "thresholds"}}
	if unit == "short" {
		d.Decimals = &digits
	}
	return panel{
		Type: "stat", Title: title, Description: description, Datasource: &ds, Targets: list,
		FieldConfig: &fieldConfig{Defaults: d, Overrides: []override{}},
		Options: map[string]any{
			"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": mode,
			"wideLayout": true, "reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		},
	}
}

// notScraped is why most panels would be empty.
const notScraped = "no exporter is scraped"

// emptyWhen says why there may be nothing in a panel.
func emptyWhen(p panel, reason string) panel {
	p.FieldConfig.Defaults.NoValue = reason
	// Else these show the reason in the colour of the lowest value.
	if p.Type == "stat" || p.Type == "bargauge" {
		p.FieldConfig.Defaults.Mappings = append(p.FieldConfig.Defaults.Mappings, map[string]any{
			"type": "special", "options": map[string]any{"match": "null", "result": map[string]any{"index": 9, "text": reason, "color": grey}},
		})
	}
	return p
}

// mapped gives a stat's values words: value, text, colour.
func mapped(p panel, words ...[3]string) panel {
	options := map[string]any{}
	for i, w := range words {
		options[w[0]] = map[string]any{"index": i, "text": w[1], "color": w[2]}
	}
	p.FieldConfig.Defaults.Mappings = []any{map[string]any{"type": "value", "options": options}}
	return p
}

// lines is a graph over time.
func lines(title, description, unit string, queries ...query) panel {
	ds := prometheus()
	zero := 0.0
	return panel{
		Type: "timeseries", Title: title, Description: description, Datasource: &ds, Targets: targets(false, queries),
		FieldConfig: &fieldConfig{
			Defaults: defaults{
				Unit: unit, Min: &zero, NoValue: notScraped, Color: &color{Mode: "palette-classic"}, Thresholds: from(green),
				Custom: map[string]any{
					"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "spanNulls": false,
					"lineInterpolation": "linear", "axisPlacement": "auto", "scaleDistribution": map[string]any{"type": "linear"},
					"stacking": map[string]any{"mode": "none", "group": "A"}, "thresholdsStyle": map[string]any{"mode": "off"},
				},
			},
			Overrides: []override{},
		},
		Options: map[string]any{
			"legend":  map[string]any{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "min", "max"}},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
	}
}

// below lets a graph go below zero.
func below(p panel) panel {
	p.FieldConfig.Defaults.Min = nil
	return p
}

// stacked fills and stacks a graph's series.
func stacked(p panel) panel {
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 40
	p.FieldConfig.Defaults.Custom["stacking"] = map[string]any{"mode": "normal", "group": "A"}
	return p
}

// bars shows whole numbers per step. A step is at least a minute, so that a
// scrape falls into each.
func bars(title, description string, queries ...query) panel {
	p := stacked(lines(title, description, "short", queries...))
	p.Interval = "1m"
	digits := 0
	p.FieldConfig.Defaults.Decimals = &digits
	p.FieldConfig.Defaults.Custom["drawStyle"] = "bars"
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 80
	p.Options = map[string]any{
		"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{"sum"}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

// killBars are bars about kills: shades of red, a legend as a table that is not
// cut.
func killBars(title, description string, queries ...query) panel {
	p := bars(title, description, queries...)
	p.FieldConfig.Defaults.Color = &color{Mode: "shades", FixedColor: red}
	return legendBeside(p, "sum")
}

// legendBeside puts a graph's legend to its right: it has room for more lines there than
// below, where it would get a third of the height.
func legendBeside(p panel, calcs ...string) panel {
	p.Options = map[string]any{
		"legend":  map[string]any{"displayMode": "table", "placement": "right", "showLegend": true, "calcs": calcs},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

// legendInLine shows only the names in the legend of a narrow graph.
func legendInLine(p panel) panel {
	p.Options = map[string]any{
		"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

// limitLine draws the series of this name as a dashed line: a limit.
func limitLine(p panel, name, colour string) panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
		Matcher: matcher{ID: "byRegexp", Options: "/^" + name + ".*/"},
		Properties: []property{
			{ID: "color", Value: color{Mode: "fixed", FixedColor: colour}},
			{ID: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{10, 6}}},
			{ID: "custom.lineWidth", Value: 2},
		},
	})
	return p
}

// ranking is a list of horizontal bars, the longest first.
func ranking(title, description, unit string, of query) panel {
	ds := prometheus()
	list := targets(true, []query{of})
	list[0].Format = "time_series"
	digits, zero := 0, 0.0
	return panel{
		Type: "bargauge", Title: title, Description: description, Datasource: &ds, Targets: list,
		FieldConfig: &fieldConfig{
			Defaults:  defaults{Unit: unit, Min: &zero, Decimals: &digits, Thresholds: from(red), Color: &color{Mode: "thresholds"}, NoValue: notScraped},
			Overrides: []override{},
		},
		Options: map[string]any{
			"displayMode": "basic", "orientation": "horizontal", "showUnfilled": true, "valueMode": "color",
			"sizing": "manual", "minVizWidth": 8, "minVizHeight": 16, "maxVizHeight": 40,
			"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		},
	}
}

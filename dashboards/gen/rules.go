// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-jsonnet"
)

// ruleFile is a file of Prometheus rules, as the mixin makes it.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

// rule is an alert or a recording rule.
type rule struct {
	Record, Alert, Expr, For, KeepFiringFor string
	Labels, Annotations                     map[string]string
}

// UnmarshalJSON also reads keep_firing_for, which does not match KeepFiringFor.
func (r *rule) UnmarshalJSON(data []byte) error {
	type plain rule
	aux := struct {
		*plain
		Keep string `json:"keep_firing_for"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(data, &aux); err != nil {
		return err
	}
	r.KeepFiringFor = aux.Keep
	return nil
}

// evaluate runs a jsonnet expression in which mixin is the mixin, and decodes
// its result.
func evaluate(root, expression string, into any) error {
	path := filepath.Join(root, "dashboards", "mixin", "mixin.libsonnet")
	out, err := jsonnet.MakeVM().EvaluateAnonymousSnippet("gen", fmt.Sprintf("local mixin = import %q;\n%s", path, expression))
	if err != nil {
		return fmt.Errorf("evaluate the mixin: %w", err)
	}
	return json.Unmarshal([]byte(out), into)
}

// tunable returns the part of _config that the chart's values also have.
func tunable(root string) (map[string]any, error) {
	config := map[string]any{}
	if err := evaluate(root, "mixin._config", &config); err != nil {
		return nil, err
	}
	// The chart has settings of its own for these.
	delete(config, "alerts")
	delete(config, "grafanaURL")
	return config, nil
}

// rules returns the rule files with the mixin's defaults, and those of the
// chart, in which @name@ stands for each key of _config that the chart's values
// set.
func rules(root string) (plain, chart map[string]ruleFile, err error) {
	if err = evaluate(root, "mixin.ruleFiles", &plain); err != nil {
		return nil, nil, err
	}
	config, err := tunable(root)
	if err != nil {
		return nil, nil, err
	}
	var overlay strings.Builder
	for _, name := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&overlay, "%s: '@%s@', ", name, name)
	}
	err = evaluate(root, "(mixin + {_config+:: {"+overlay.String()+"}}).ruleFiles", &chart)
	return plain, chart, err
}

// encodeRules writes YAML as people write rule files: the queries as blocks, the
// keys in Prometheus' order.
func encodeRules(f ruleFile) []byte {
	var b strings.Builder
	b.WriteString("# SPDX-License-Identifier: Apache-2.0\n#\n# Generated from dashboards/mixin, which says why each rule is as it is: go run ./dashboards/gen\ngroups:\n")
	for _, g := range f.Groups {
		fmt.Fprintf(&b, "  - name: %s\n    rules:\n", g.Name)
		for i, r := range g.Rules {
			if i > 0 {
				b.WriteString("\n")
			}
			r.write(&b)
		}
	}
	return []byte(b.String())
}

func (r rule) write(b *strings.Builder) {
	if r.Record != "" {
		fmt.Fprintf(b, "      - record: %s\n", r.Record)
	} else {
		fmt.Fprintf(b, "      - alert: %s\n", r.Alert)
	}
	if strings.Contains(r.Expr, "\n") {
		b.WriteString("        expr: |-\n")
		for line := range strings.SplitSeq(r.Expr, "\n") {
			fmt.Fprintf(b, "          %s\n", line)
		}
	} else {
		fmt.Fprintf(b, "        expr: %s\n", quote(r.Expr))
	}
	if r.For != "" {
		fmt.Fprintf(b, "        for: %s\n", r.For)
	}
	if r.KeepFiringFor != "" {
		fmt.Fprintf(b, "        keep_firing_for: %s\n", r.KeepFiringFor)
	}
	section(b, "labels", r.Labels, "severity", "oom_scope")
	section(b, "annotations", r.Annotations, "summary", "description", "runbook_url", "dashboard", "page")
}

func section(b *strings.Builder, name string, values map[string]string, order ...string) {
	if len(values) == 0 {
		return
	}
	fmt.Fprintf(b, "        %s:\n", name)
	for _, key := range order {
		if value, there := values[key]; there {
			fmt.Fprintf(b, "          %s: %s\n", key, quote(value))
		}
	}
}

// quote makes a YAML scalar of one line.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

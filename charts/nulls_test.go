// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

// nulls lists the settings that take every value of a key away, and whether the
// schema asks for one of them.
func nulls(key string, value any, schema object, required bool) (sets []string, asked bool) {
	sets, asked = []string{key + "=null"}, required
	values, _ := value.(object)
	properties, _ := schema["properties"].(object)
	if len(values) == 0 || properties == nil {
		return sets, asked
	}
	sets, asked = nil, false
	for name, value := range values {
		if name == "enabled" || key+"."+name == "image.repository" || key+"."+name == "guard.image.repository" {
			continue // without them there is nothing to see.
		}
		sub, _ := properties[name].(object)
		more, ask := nulls(key+"."+name, value, sub, slices.Contains(texts(schema["required"]), name))
		sets, asked = append(sets, more...), asked || ask
	}
	return sets, asked
}

// TestNulls takes every value away, as `--set KEY=null` does: the chart goes on
// without, or the schema says that it can't.
func TestNulls(t *testing.T) {
	var parsed any
	if err := yaml.Unmarshal([]byte(read(t, chart+"/values.yaml")), &parsed); err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal([]byte(read(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	null := regexp.MustCompile(`(?m)^.*[A-Za-z/]: null$`)
	try := func(on, set string, asked bool) {
		on += ",guard.enabled=true,podMonitor.enabled=true,serviceMonitor.enabled=true,networkPolicy.enabled=true,"
		out, err := helm(t, "template", "x", chart, "--kube-version", kubernetes, "--values", images, "--set", on+set)
		switch {
		case asked && (err == nil || !strings.Contains(out, "missing propert")):
			t.Errorf("--set %s: the schema does not ask: %v\n%.500s", set, err, out)
		case asked:
		case err != nil:
			t.Errorf("--set %s: %s", set, out)
		default:
			for _, object := range byKind(t, out)["DaemonSet"] {
				for _, arg := range texts(at(object, "spec", "template", "spec", "containers", "args")) {
					if strings.HasSuffix(arg, "=") || strings.Contains(arg, "<nil>") {
						t.Errorf("--set %s: argument %s", set, arg)
					}
				}
			}
			if left := null.FindAllString(out, -1); left != nil || strings.Contains(out, "<no value>") {
				t.Errorf("--set %s: nulls are left: %s", set, left)
			}
		}
	}
	properties, _ := schema["properties"].(object)
	var plain []string // keys without keys of their own.
	for key, value := range stringKeys(parsed).(object) {
		sub, _ := properties[key].(object)
		required := slices.Contains(texts(schema["required"]), key)
		sets, asked := nulls(key, value, sub, required)
		if slices.Equal(sets, []string{key + "=null"}) && !required {
			plain = append(plain, sets...)
			continue
		}
		on := "log.level=info"
		if key == "prometheusRule" || key == "dashboards" { // the others don't have to wait for them.
			on = key + ".enabled=true"
		}
		try(on, strings.Join(sets, ","), asked)
		try(on, key+"=null", required)
	}
	if len(plain) < 20 {
		t.Errorf("only %d plain keys", len(plain))
	}
	try("log.level=info", strings.Join(plain, ","), false)
}

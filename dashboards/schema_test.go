// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// schema is a JSON Schema, as far as the one of Grafana's dashboards needs it. A
// keyword that is not here is an error: it would be a rule that nobody checks.
type schema struct {
	Definitions map[string]*schema `json:"definitions"`
	Ref         string             `json:"$ref"`
	Type        any                `json:"type"` // a name, or a list of them.
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Additional  json.RawMessage    `json:"additionalProperties"`
	Items       *schema            `json:"items"`
	Enum        []any              `json:"enum"`
	Const       any                `json:"const"`
	AnyOf       []*schema          `json:"anyOf"`

	// What only explains.
	Schema      string `json:"$schema"`
	Comment     string `json:"$comment"`
	Description string `json:"description"`
	Default     any    `json:"default"`
	Deprecated  any    `json:"deprecated"`
}

func parseSchema(t *testing.T, text string) *schema {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	var s schema
	if err := dec.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// check returns what is wrong with a value, by its place.
func (root *schema) check(s *schema, at string, v any) []string {
	if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
		s = root.Definitions[strings.NewReplacer("%3C", "<", "%3E", ">", "%2C", ",", "%22", `"`, "%7C", "|").Replace(name)]
		if s == nil {
			return []string{at + ": the schema has no definition " + name}
		}
		return root.check(s, at, v)
	}
	if len(s.AnyOf) > 0 {
		var all []string
		for _, each := range s.AnyOf {
			wrong := root.check(each, at, v)
			if len(wrong) == 0 {
				return nil
			}
			all = append(all, wrong...)
		}
		return all
	}
	if s.Const != nil && !reflect.DeepEqual(v, s.Const) || len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e any) bool { return reflect.DeepEqual(e, v) }) {
		return []string{fmt.Sprintf("%s: %v is none of %v %v", at, v, s.Const, s.Enum)}
	}
	if !hasType(s.Type, v) {
		return []string{fmt.Sprintf("%s: %v is not of type %v", at, v, s.Type)}
	}
	switch v := v.(type) {
	case map[string]any:
		return root.checkObject(s, at, v)
	case []any:
		var wrong []string
		if s.Items != nil {
			for i, each := range v {
				wrong = append(wrong, root.check(s.Items, fmt.Sprintf("%s[%d]", at, i), each)...)
			}
		}
		return wrong
	}
	return nil
}

func (root *schema) checkObject(s *schema, at string, v map[string]any) (wrong []string) {
	for _, name := range s.Required {
		if _, there := v[name]; !there {
			wrong = append(wrong, at+": lacks "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		place := at + "." + name
		if p := s.Properties[name]; p != nil {
			wrong = append(wrong, root.check(p, place, v[name])...)
			continue
		}
		switch text := string(s.Additional); text {
		case "false":
			wrong = append(wrong, place+" is unknown")
		case "", "true", "{}":
		default:
			var more schema
			if err := json.Unmarshal(s.Additional, &more); err != nil {
				return append(wrong, err.Error())
			}
			wrong = append(wrong, root.check(&more, place, v[name])...)
		}
	}
	return wrong
}

// hasType tells whether a value has one of the types; none is any.
func hasType(typ, v any) bool {
	switch typ := typ.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(typ, func(each any) bool { return hasType(each, v) })
	}
	name := "null"
	switch v := v.(type) {
	case bool:
		name = "boolean"
	case float64:
		name = "number"
		if typ == "integer" && v == float64(int64(v)) {
			name = "integer"
		}
	case string:
		name = "string"
	case []any:
		name = "array"
	case map[string]any:
		name = "object"
	}
	return typ == name
}

// TestSchemaCheck: a schema that lets everything pass would prove nothing.
func TestSchemaCheck(t *testing.T) {
	s := parseSchema(t, `{"definitions": {"Colour": {"enum": ["red", "blue"]}}, "type": "object", "required": ["id"], "additionalProperties": false,
		"properties": {"id": {"type": "integer"}, "value": {"type": ["number", "null"]}, "colour": {"$ref": "#/definitions/Colour"},
			"list": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"const": 1}]}}, "free": {"type": "object", "additionalProperties": {"type": "string"}}}}`)
	for text, want := range map[string]string{
		`{"id": 1, "value": null, "colour": "red", "list": ["a", 1], "free": {"x": "y"}}`: "",
		`{"id": 1.5}`:                      "id: 1.5 is not of type integer",
		`{}`:                               "lacks id",
		`{"id": 1, "value": "x"}`:          "value: x is not of type",
		`{"id": 1, "colour": "green"}`:     "colour: green is none of",
		`{"id": 1, "list": ["a", 2]}`:      "list[1]: 2 is none of 1",
		`{"id": 1, "free": {"x": 1}}`:      "free.x: 1 is not of type string",
		`{"id": 1, "titel": "x"}`:          "titel is unknown",
		`{"id": 1, "list": {"a": "list"}}`: "is not of type array",
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		wrong := strings.Join(s.check(s, "", v), "; ")
		if want == "" && wrong != "" || !strings.Contains(wrong, want) {
			t.Errorf("%s: %q, want %q", text, wrong, want)
		}
	}
}

// beyondSchema is what Grafana reads and its types leave out.
var beyondSchema = []*regexp.Regexp{
	// The Prometheus data source keeps these in its annotations.
	regexp.MustCompile(`^\.annotations\.list\[\d\]\.(expr|step|tagKeys|textFormat|titleFormat|useValueForTime) is unknown$`),
	// A hidden column, as Grafana called it before 12.
	regexp.MustCompile(`^"[^"]+"\.overrides\.hidden is unknown$`),
	// What the list of variables shows; all dashboards that Grafana exports have it.
	regexp.MustCompile(`^\.templating\.list\[\d\]\.definition is unknown$`),
}

// TestDashboardsFitGrafana holds each dashboard against the types that Grafana
// publishes: of the dashboard, and of the options of each kind of panel.
func TestDashboardsFitGrafana(t *testing.T) {
	root := parseSchema(t, string(read(t, "testdata/grafana-schema.json")))
	if len(root.Definitions) < 100 {
		t.Fatalf("only %d definitions", len(root.Definitions))
	}
	options, custom, used := 0, 0, map[int]bool{}
	for _, path := range glob(t, "*.json") {
		var board map[string]any
		if err := json.Unmarshal(read(t, path), &board); err != nil {
			t.Fatal(err)
		}
		wrong := root.check(root.Properties["dashboard"], "", board)
		for _, p := range allPanels(board) {
			kind, at := fmt.Sprint(p["type"]), fmt.Sprintf("%q", p["title"])
			if kind == "row" {
				continue
			}
			if root.Properties[kind] == nil {
				wrong = append(wrong, at+" is of the kind "+kind)
				continue
			}
			options++
			wrong = append(wrong, root.check(root.Properties[kind], at+".options", p["options"])...)
			fields, _ := p["fieldConfig"].(map[string]any)
			defaults, _ := fields["defaults"].(map[string]any)
			if s := root.Properties[kind+"Field"]; s != nil {
				custom++
				wrong = append(wrong, root.check(s, at+".custom", defaults["custom"])...)
				for _, o := range overridden(fields) {
					wrong = append(wrong, root.check(s, at+".overrides", o)...)
				}
			}
		}
		for _, w := range wrong {
			if why := slices.IndexFunc(beyondSchema, func(e *regexp.Regexp) bool { return e.MatchString(w) }); why >= 0 {
				used[why] = true
				continue
			}
			t.Errorf("%s: %s", path, w)
		}
	}
	if len(used) != len(beyondSchema) {
		t.Errorf("of the exceptions only %v are needed", used)
	}
	if options < 40 || custom < 20 {
		t.Errorf("only %d panels and %d fields were looked at", options, custom)
	}
}

// overridden is each option of the panel's own kind that an override sets, as
// custom has them.
func overridden(fields map[string]any) (all []map[string]any) {
	overrides, _ := fields["overrides"].([]any)
	for _, o := range overrides {
		override, _ := o.(map[string]any)
		properties, _ := override["properties"].([]any)
		for _, p := range properties {
			property, _ := p.(map[string]any)
			if name, own := strings.CutPrefix(fmt.Sprint(property["id"]), "custom."); own {
				all = append(all, map[string]any{name: property["value"]})
			}
		}
	}
	return all
}

// allPanels returns the panels of a dashboard, those of closed rows among them.
func allPanels(board map[string]any) (all []map[string]any) {
	list, _ := board["panels"].([]any)
	for _, each := range list {
		if p, ok := each.(map[string]any); ok {
			all = append(append(all, p), allPanels(p)...)
		}
	}
	return all
}

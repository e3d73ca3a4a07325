// SPDX-License-Identifier: Apache-2.0

// Command gen writes the Grafana dashboards and renders the rule files from the
// mixin, both also into the Helm chart, which can only package what is in its own
// directory. The chart's rule files have placeholders for what its values tune.
//
//	go run ./dashboards/gen
//
// The dashboards are built by a few small functions instead of an SDK: four
// dashboards use a small, stable part of Grafana's schema, and what all panels
// must have (data source, description, unit, a place on the grid) is then a
// parameter that can't be forgotten.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		log.Fatal(err)
	}
}

// all lists the dashboards.
func all() []dashboard { return []dashboard{overview(), node(), workload(), kills()} }

// run writes every file below root, the repository's top.
func run(root string) error {
	files, err := outputs(root)
	if err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// outputs returns the content of every generated file by its path.
func outputs(root string) (map[string][]byte, error) {
	chart := filepath.Join("charts", "oom-exporter", "files")
	files := map[string][]byte{}
	for _, d := range all() {
		data, err := encode(d)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", d.UID, err)
		}
		files[filepath.Join("dashboards", d.UID+".json")] = data
		files[filepath.Join(chart, "dashboards", d.UID+".json")] = data
	}
	plain, tuned, err := rules(root)
	if err != nil {
		return nil, err
	}
	for name := range plain {
		files[filepath.Join("dashboards", "rules", name+".yaml")] = encodeRules(plain[name])
		files[filepath.Join(chart, "rules", name+".yaml")] = encodeRules(tuned[name])
	}
	return files, nil
}

// encode writes JSON as people read it: indented, with < and & as they are.
func encode(d dashboard) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-kit/log/level"
)

func TestBothViewsWriteTheSameKeys(t *testing.T) {
	var out bytes.Buffer
	logger, view, err := New(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	_ = level.Info(logger).Log("msg", "one")
	view.Info("two")
	_ = level.Debug(logger).Log("msg", "hidden")
	view.Debug("hidden")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want 2: %s", len(lines), out.String())
	}
	for i, want := range []string{"one", "two"} {
		var line map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &line); err != nil {
			t.Fatal(err)
		}
		if line["msg"] != want || line["level"] != "info" || line["time"] == nil || !strings.HasPrefix(line["caller"].(string), "logging_test.go:") {
			t.Errorf("line %d is %s", i, lines[i])
		}
	}
}

func TestBadValuesAreNamed(t *testing.T) {
	for _, c := range []struct{ level, format, want string }{
		{"loud", "logfmt", `"loud"`},
		{"info", "xml", `"xml"`},
	} {
		if _, _, err := New(&bytes.Buffer{}, c.level, c.format); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%q, %q) = %v, want an error that names %s", c.level, c.format, err, c.want)
		}
	}
}

func TestEveryListedValueIsTaken(t *testing.T) {
	for _, l := range Levels() {
		for _, f := range Formats() {
			if _, _, err := New(&bytes.Buffer{}, l, f); err != nil {
				t.Errorf("New(%q, %q): %v", l, f, err)
			}
		}
	}
}

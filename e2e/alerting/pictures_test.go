// SPDX-License-Identifier: Apache-2.0

//go:build e2e && pictures

package alerting

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestPictures draws the dashboards of a node on which much goes wrong, with
// what a real Prometheus has scraped meanwhile, into docs/images:
//
//	go test -tags e2e,pictures -run TestPictures ./e2e/alerting
//
// It takes Chromium, and looks best with Debian's fonts-inter. What is drawn is the panels' own queries, units, scales and
// columns; only the drawing is not Grafana's.
func TestPictures(t *testing.T) {
	lab.Root(t)
	lab.Need(t, "chromium")
	s := play(t)
	for board, values := range map[string]map[string]string{
		"overview": {}, "node": {"node": nodeName}, "kills": {},
		"workload": {"namespace": "shop", "pod": "web-7d4f9-x2", "container": "app"},
	} {
		file := s.draw(t, "oom-exporter-"+board, values)
		picture := filepath.Join(lab.Repository(t), "docs", "images", board+".png")
		size := fmt.Sprintf("--window-size=1440,%d", file.height)
		lab.Command(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size, "--screenshot="+picture, "file://"+file.path)
	}
}

// drawing is a page that shows a dashboard.
type drawing struct {
	path   string
	height int
}

// span is what the pictures show.
const span = 270 * time.Second

// draw asks all that a dashboard asks and writes it into the page that draws it.
func (s *stack) draw(t *testing.T, uid string, values map[string]string) drawing {
	t.Helper()
	text, err := os.ReadFile("../../dashboards/" + uid + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var board map[string]any
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	board["from"], board["to"] = now.Add(-span).Unix(), now.Unix()
	bottom := 0.0
	board["panels"] = unfolded(board["panels"])
	for _, p := range list(board["panels"]) {
		g, _ := p["gridPos"].(map[string]any)
		bottom = math.Max(bottom, g["y"].(float64)+g["h"].(float64))
		step := 5 * time.Second
		if p["interval"] == "1m" {
			step = time.Minute
		}
		answers := [][]any{}
		for _, q := range list(p["targets"]) {
			answers = append(answers, s.series(t, q, values, now, step))
		}
		p["answers"], p["step"] = answers, step.Seconds()
	}
	board["annotations"] = s.marks(t, board, values, now)
	board["variables"] = chosen(board, values)
	page, err := os.ReadFile("testdata/render.html")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(board)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, uid+".html")
	put(t, path, strings.Replace(string(page), "/*DATA*/ null", string(data), 1))
	return drawing{path, 44 + int(bottom)*30 + 4}
}

// unfolded opens the rows that are closed.
func unfolded(v any) []any {
	var all []any
	for _, p := range list(v) {
		inside := list(p["panels"])
		p["panels"] = []any{}
		all = append(all, p)
		for _, each := range inside {
			all = append(all, each)
		}
	}
	return all
}

func list(v any) (found []map[string]any) {
	values, _ := v.([]any)
	for _, each := range values {
		if m, ok := each.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}

// chosen lists what the dashboard's variables stand at.
func chosen(board map[string]any, values map[string]string) []map[string]string {
	var all []map[string]string
	for _, v := range list(board["templating"].(map[string]any)["list"]) {
		value := values[v["name"].(string)]
		if v["type"] == "datasource" {
			value = "Prometheus"
		} else if value == "" {
			value = "All"
		}
		all = append(all, map[string]string{"label": v["label"].(string), "value": value})
	}
	return all
}

// insert puts the variables' values into a query.
func insert(q string, values map[string]string, now time.Time, step time.Duration) string {
	return variable.ReplaceAllStringFunc(q, func(v string) string {
		switch name := variable.FindStringSubmatch(v)[1]; name {
		case "__rate_interval":
			return "30s"
		case "__interval":
			return fmt.Sprintf("%.0fs", step.Seconds())
		case "__range":
			return fmt.Sprintf("%.0fs", span.Seconds())
		case "__from":
			return strconv.FormatInt(now.Add(-span).Unix(), 10)
		default:
			if values[name] == "" {
				return ".*"
			}
			return regexp.QuoteMeta(values[name])
		}
	})
}

// series asks a panel's query.
func (s *stack) series(t *testing.T, q map[string]any, values map[string]string, now time.Time, step time.Duration) []any {
	t.Helper()
	expr, legend := insert(q["expr"].(string), values, now, step), fmt.Sprint(q["legendFormat"])
	found := []any{}
	if q["instant"] == true {
		for _, r := range s.ask(t, expr) {
			found = append(found, map[string]any{"labels": r.Metric, "legend": named(legend, r.Metric), "value": number(r.Value[1])})
		}
		return found
	}
	for _, r := range s.over(t, expr, now, step) {
		points := [][2]any{}
		for _, v := range r.Values {
			points = append(points, [2]any{v[0], number(v[1])})
		}
		found = append(found, map[string]any{"labels": r.Metric, "legend": named(legend, r.Metric), "points": points})
	}
	return found
}

// matrix is a series with all of its samples.
type matrix struct {
	Metric map[string]string
	Values [][2]any
}

func (p prometheus) over(t *testing.T, expr string, now time.Time, step time.Duration) []matrix {
	t.Helper()
	var a struct {
		Error string
		Data  struct{ Result []matrix }
	}
	end := now.Truncate(step)
	p.get(t, fmt.Sprintf("query_range?query=%s&start=%d&end=%d&step=%.0f", url.QueryEscape(expr), end.Add(-span).Unix(), end.Unix(), step.Seconds()), &a)
	if a.Error != "" {
		t.Fatalf("%s: %s", expr, a.Error)
	}
	return a.Data.Result
}

// marks are the annotations.
func (s *stack) marks(t *testing.T, board map[string]any, values map[string]string, now time.Time) []any {
	t.Helper()
	marks := []any{}
	for _, a := range list(board["annotations"].(map[string]any)["list"]) {
		expr, _ := a["expr"].(string)
		if expr == "" {
			continue
		}
		times := []any{}
		for _, r := range s.over(t, insert(expr, values, now, 5*time.Second), now, 5*time.Second) {
			for i, v := range r.Values {
				if a["useValueForTime"] == true {
					if ms, ok := number(v[1]).(float64); ok {
						times = append(times, ms/1000)
					}
				} else if i == 0 {
					times = append(times, v[0])
				}
			}
		}
		marks = append(marks, map[string]any{"colour": a["iconColor"], "times": times})
	}
	return marks
}

// number is a sample's value; JSON has no NaN.
func number(v any) any {
	text, _ := v.(string)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return f
}

func named(legend string, labels map[string]string) string {
	return regexp.MustCompile(`\{\{(\w+)\}\}`).ReplaceAllStringFunc(legend, func(v string) string { return labels[strings.Trim(v, "{}")] })
}

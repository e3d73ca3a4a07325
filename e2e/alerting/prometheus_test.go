// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v2"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// prometheus is the address of a running one.
type prometheus string

// startPrometheus runs a Prometheus with the configuration until the test ends.
func startPrometheus(t *testing.T, dir, name string, config map[string]any) prometheus {
	t.Helper()
	p := prometheus(fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)))
	server := runPrometheus(t, p, dir, name, config, nil)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, server.Output())
			for _, q := range []string{"up", "ALERTS", "oom_container_last_kill_timestamp_seconds", "scrape_duration_seconds"} {
				t.Logf("%s: %v", q, p.query(t, q).Data.Result)
			}
		}
	})
	return p
}

// runPrometheus starts a Prometheus at its address, where it may have run
// before; external labels are on all of its alerts.
func runPrometheus(t *testing.T, p prometheus, dir, name string, config map[string]any, external map[string]string) *lab.Process {
	t.Helper()
	config["global"] = map[string]any{"scrape_interval": interval.String(), "evaluation_interval": interval.String(), "external_labels": external}
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name+".yml")
	put(t, file, string(text))
	server := lab.Start(t, exec.Command("prometheus", "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(dir, name), "--web.listen-address="+string(p)))
	lab.Eventually(t, time.Minute, "Prometheus is ready", func() bool { return answers("http://" + string(p) + "/-/ready") })
	return server
}

// answer is what Prometheus says to a query.
type answer struct {
	Status string
	Error  string
	Data   struct{ Result []sample }
}

// sample is a series with its value; the value's time comes first.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

func (p prometheus) query(t *testing.T, q string) answer {
	t.Helper()
	var a answer
	p.get(t, "query?query="+url.QueryEscape(q), &a)
	return a
}

// ask is query for a query that must not fail.
func (p prometheus) ask(t *testing.T, q string) []sample {
	t.Helper()
	a := p.query(t, q)
	if a.Status != "success" {
		t.Fatalf("%s: %s", q, a.Error)
	}
	return a.Data.Result
}

// one returns the value of a query that gives one series, "" if none.
func (p prometheus) one(t *testing.T, q string) string {
	t.Helper()
	result := p.ask(t, q)
	if len(result) != 1 {
		return ""
	}
	value, _ := result[0].Value[1].(string)
	return value
}

// labelNames lists the names of all labels.
func (p prometheus) labelNames(t *testing.T) []string {
	t.Helper()
	var a struct{ Data []string }
	p.get(t, "labels", &a)
	return a.Data
}

// scrapes tells whether there is a target below the URL.
func (p prometheus) scrapes(t *testing.T, url string) bool {
	t.Helper()
	var a struct {
		Data struct{ ActiveTargets []struct{ ScrapeURL string } }
	}
	p.get(t, "targets?state=active", &a)
	return slices.ContainsFunc(a.Data.ActiveTargets, func(t struct{ ScrapeURL string }) bool { return strings.HasPrefix(t.ScrapeURL, url+"/") })
}

func (p prometheus) get(t *testing.T, path string, into any) {
	t.Helper()
	resp, err := http.Get("http://" + string(p) + "/api/v1/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

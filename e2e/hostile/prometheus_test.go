// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package hostile_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// prometheus is a real one that scrapes the exporter.
type prometheus struct {
	*lab.Process
	url string
}

const prometheusConfig = `
global: {scrape_interval: %[2]v, scrape_timeout: %[2]v}
scrape_configs: [{job_name: oom, static_configs: [{targets: ["127.0.0.1:%[1]d"]}]}]
`

func startPrometheus(t *testing.T, target int) *prometheus {
	t.Helper()
	lab.Need(t, "prometheus")
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	must(t, os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, target, every), 0o600))
	address := fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t))
	p := &prometheus{url: "http://" + address, Process: lab.Start(t, exec.Command("prometheus", "--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address))}
	p.awaitScrape(t, time.Time{})
	return p
}

// series is an answer of Prometheus: times in seconds, and values as text.
type series struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

func (p *prometheus) query(text string) ([]series, error) {
	body, err := lab.GetBy(http.DefaultClient, p.url+"/api/v1/query?"+url.Values{"query": {text}}.Encode())
	if err != nil {
		return nil, err
	}
	var answer struct{ Data struct{ Result []series } }
	return answer.Data.Result, json.Unmarshal([]byte(body), &answer)
}

// value returns the sum of a query's series.
func (p *prometheus) value(t *testing.T, text string) (sum float64) {
	t.Helper()
	all, err := p.query(text)
	must(t, err)
	for _, s := range all {
		sum += number(t, s.Value[1])
	}
	return sum
}

// samples are those of a series, by time in milliseconds.
func (s series) samples(t *testing.T) map[int64]float64 {
	t.Helper()
	samples := map[int64]float64{}
	for _, v := range s.Values {
		at, ok := v[0].(float64)
		if !ok {
			t.Fatalf("no time: %v", v)
		}
		samples[int64(math.Round(at*1e3))] = number(t, v[1])
	}
	return samples
}

// ranges returns the samples of the last hour of what a selector finds.
func (p *prometheus) ranges(t *testing.T, selector string) []series {
	t.Helper()
	all, err := p.query(selector + "[1h]")
	must(t, err)
	return all
}

// history returns the samples of a family with one series, by time in milliseconds.
func (p *prometheus) history(t *testing.T, family string) map[int64]float64 {
	t.Helper()
	all := p.ranges(t, family)
	if len(all) != 1 {
		t.Fatalf("%d series of %s", len(all), family)
	}
	return all[0].samples(t)
}

func number(t *testing.T, v any) float64 {
	t.Helper()
	text, _ := v.(string)
	n, err := strconv.ParseFloat(text, 64)
	must(t, err)
	return n
}

// awaitScrape waits until a scrape after the time has succeeded.
func (p *prometheus) awaitScrape(t *testing.T, after time.Time) {
	t.Helper()
	lab.Eventually(t, time.Minute, "a scrape by Prometheus", func() bool {
		all, err := p.query("up[1h]")
		if err != nil {
			return false
		}
		for _, s := range all {
			for _, v := range s.Values {
				if at, ok := v[0].(float64); ok && v[1] == "1" && int64(at*1e3) > after.UnixMilli() {
					return true
				}
			}
		}
		return false
	})
}

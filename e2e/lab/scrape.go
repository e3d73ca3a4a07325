// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics is one scrape.
type Metrics map[string]*dto.MetricFamily

// Scrape gets /metrics of the exporter at the base URL.
func Scrape(t testing.TB, base string) Metrics {
	t.Helper()
	return ParseMetrics(t, Get(t, base+"/metrics"))
}

// ParseMetrics parses the text format.
func ParseMetrics(t testing.TB, text string) Metrics {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("parse metrics: %v", err)
	}
	return families
}

// Get gets a page that must answer with 200.
func Get(t testing.TB, url string) string {
	t.Helper()
	body, err := get(url)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func get(url string) (string, error) {
	return GetBy(&http.Client{Timeout: time.Minute}, url)
}

// GetBy gets a page by the client; an answer other than 200 is an error.
func GetBy(client *http.Client, url string) (string, error) {
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s: %s", url, res.Status, body)
	}
	return string(body), err
}

// Find returns the series of the family that have all the labels, given as
// name, value pairs; a label that a series lacks counts as empty.
func (m Metrics) Find(family string, labels ...string) []*dto.Metric {
	var found []*dto.Metric
	for _, metric := range m[family].GetMetric() {
		if hasLabels(metric, labels) {
			found = append(found, metric)
		}
	}
	return found
}

// Has tells whether any series of the family has all the labels.
func (m Metrics) Has(family string, labels ...string) bool {
	return len(m.Find(family, labels...)) > 0
}

// Value returns the value of the one series that has all the labels; none or
// several fail the test.
func (m Metrics) Value(t testing.TB, family string, labels ...string) float64 {
	t.Helper()
	found := m.Find(family, labels...)
	if len(found) != 1 {
		t.Fatalf("%d series of %s match %q; the family has %v", len(found), family, labels, m.excerpt(family))
	}
	return Number(found[0])
}

// Sum adds up the series of the family that have all the labels.
func (m Metrics) Sum(family string, labels ...string) float64 {
	var sum float64
	for _, metric := range m.Find(family, labels...) {
		sum += Number(metric)
	}
	return sum
}

// Names returns the names of the families in order.
func (m Metrics) Names() []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Number returns the value of a gauge, counter or untyped series.
func Number(metric *dto.Metric) float64 {
	switch {
	case metric.Gauge != nil:
		return metric.Gauge.GetValue()
	case metric.Counter != nil:
		return metric.Counter.GetValue()
	default:
		return metric.GetUntyped().GetValue()
	}
}

// Label returns the value of a label of the series, empty without it.
func Label(metric *dto.Metric, name string) string {
	for _, pair := range metric.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

func hasLabels(metric *dto.Metric, labels []string) bool {
	for pair := range slices.Chunk(labels, 2) {
		if Label(metric, pair[0]) != pair[1] {
			return false
		}
	}
	return true
}

// excerpt is enough of a family to see why nothing matched.
func (m Metrics) excerpt(family string) string {
	const most = 20
	metrics := m[family].GetMetric()
	var b strings.Builder
	for _, metric := range metrics[:min(len(metrics), most)] {
		fmt.Fprintf(&b, "\n  %v", metric)
	}
	if len(metrics) > most {
		fmt.Fprintf(&b, "\n  and %d more", len(metrics)-most)
	}
	return b.String()
}

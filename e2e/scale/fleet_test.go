// SPDX-License-Identifier: Apache-2.0

//go:build e2e && scale

package scale

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestScaleFleet has a Prometheus scrape simulated nodes, each with the series
// of a real scrape at 100 containers, and measures memory and disk per series.
func TestScaleFleet(t *testing.T) {
	lab.Need(t, "prometheus")
	load(t, size{groups: 100, processes: 1000})
	x := ourselves(t)
	x.scraped(t)
	node, _ := x.scraped(t)
	node.text = ofLoad(node.text)
	server := httptest.NewServer(jitter(node.text))
	defer server.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "One node of 100 containers in 100 pods and 1,000 processes: %d series, %d KB a scrape.\n\n", node.series(), len(node.text)>>10)
	b.WriteString("| simulated nodes | series | Prometheus' RSS MiB | KB a series | samples | bytes a sample (WAL, compressed) |\n|---|---|---|---|---|---|\n")
	for _, nodes := range []int{10, 40} {
		watch(t, &b, server.Listener.Addr().String(), nodes)
	}
	t.Log("\n" + b.String())
	publish(t, "fleet", b.String())
}

// watch runs a Prometheus over the nodes and writes a row of the table.
func watch(t *testing.T, b *strings.Builder, address string, nodes int) {
	t.Helper()
	dir := t.TempDir()
	var config strings.Builder
	config.WriteString("global:\n  scrape_interval: 10s\nscrape_configs:\n- job_name: oom\n  relabel_configs:\n  - {source_labels: [node], target_label: instance}\n  static_configs:\n")
	for i := range nodes {
		fmt.Fprintf(&config, "  - {targets: ['%s'], labels: {node: 'node-%04d'}}\n", address, i)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := "127.0.0.1:" + strconv.Itoa(lab.FreePort(t))
	p := lab.Start(t, exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+listen, "--log.level=error"))
	numbers := func() lab.Metrics {
		text, err := lab.GetBy(&http.Client{Timeout: time.Minute}, "http://"+listen+"/metrics")
		if err != nil {
			return nil
		}
		return lab.ParseMetrics(t, text)
	}
	var m lab.Metrics
	begun := time.Now()
	lab.Eventually(t, 5*time.Minute, "six scrapes of each node", func() bool {
		<-time.After(time.Second)
		m = numbers()
		series := m.Sum("prometheus_tsdb_head_series")
		return time.Since(begun) > time.Minute && series > 0 && m.Sum("prometheus_tsdb_head_samples_appended_total") > 6*series
	})
	series, samples := m.Sum("prometheus_tsdb_head_series"), m.Sum("prometheus_tsdb_head_samples_appended_total")
	rss := p.Status(t)["VmRSS"]
	fmt.Fprintf(b, "| %d | %.0f | %.0f | %.1f | %.0f | %.1f |\n", nodes, series, mib(rss), float64(rss)/1024/series, samples, float64(written(t, dir+"/data/wal"))/samples)
}

// written adds up the files below dir.
func written(t testing.TB, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// ofLoad leaves out the workloads of others on the machine.
func ofLoad(text []byte) (kept []byte) {
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(`pod="`)) || bytes.Contains(line, []byte("-0000-4000-8000-")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// jitter serves an exposition in which a third of the sizes moves each time.
func jitter(text []byte) http.Handler {
	lines := strings.SplitAfter(string(text), "\n")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		var b strings.Builder
		for _, line := range lines {
			at := strings.LastIndexByte(line, ' ')
			if at > 0 && line[0] != '#' && strings.Contains(line[:at], "_bytes{") && rand.IntN(3) == 0 {
				if v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
					line = fmt.Sprintf("%s %d\n", line[:at], int64(v)+4096*rand.Int64N(256))
				}
			}
			b.WriteString(line)
		}
		_, _ = fmt.Fprint(w, b.String())
	})
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package alerting runs the shipped rules for real: the real exporter, real
// kills in groups of its own, a real Prometheus, a real Alertmanager and a
// webhook receiver, all on the loopback.
package alerting

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// interval is that of scrapes and rules; groupWait is the shipped one of
// Alertmanager's example.
const (
	interval  = 5 * time.Second
	groupWait = 30 * time.Second
)

// page is one alert in one notification.
type page struct {
	at     time.Time
	status string // firing or resolved.
	alert  string
	labels map[string]string
	text   string
	to     string // the receiver's name.
}

// receiver takes Alertmanager's notifications.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	pages []page
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var n struct {
			Alerts []struct {
				Status      string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
		if err := json.NewDecoder(req.Body).Decode(&n); err != nil {
			t.Errorf("notification: %v", err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, a := range n.Alerts {
			r.pages = append(r.pages, page{time.Now(), a.Status, a.Labels["alertname"], a.Labels, a.Annotations["summary"] + ": " + a.Annotations["description"], strings.TrimPrefix(req.URL.Path, "/")})
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// find returns the first page about an alert of a container.
func (r *receiver) find(status, alert, container string) (page, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pages {
		if p.status == status && p.alert == alert && p.labels["container"] == container && p.labels["site"] == "" {
			return p, true
		}
	}
	return page{}, false
}

// all returns all pages about an alert.
func (r *receiver) all(status, alert string) []page {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []page
	for _, p := range r.pages {
		if p.status == status && p.alert == alert {
			found = append(found, p)
		}
	}
	return found
}

// about returns all firing pages about a container.
func (r *receiver) about(container string) []page {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []page
	for _, p := range r.pages {
		if p.status == "firing" && p.labels["container"] == container {
			found = append(found, p)
		}
	}
	return found
}

// stack is what a site runs: the exporter and the guard on a node, a Prometheus
// with rules and an Alertmanager, and one that finds the exporter through its
// service instead.
type stack struct {
	prometheus
	byService   prometheus
	exporter    *lab.Exporter
	guard       *lab.Exporter
	pages       *receiver
	dir, rootfs string
	args        []string // of the exporter.
	namespaces  string   // a regular expression.
	alerting    map[string]any
}

// start runs the stack; only workloads of the test's namespaces are shown, since
// other tests kill on this host, too.
func start(t *testing.T, rootfs, namespaces string, args ...string) *stack {
	lab.Need(t, "prometheus", "prometheus-alertmanager")
	s := &stack{pages: newReceiver(t), dir: t.TempDir(), rootfs: rootfs, namespaces: namespaces, args: args}
	s.runExporter(t, "oom-exporter-aaaaa", "10.1.0.1")
	s.runGuard(t)
	alertmanager := fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t))
	s.alertmanager(t, s.dir, alertmanager)
	s.alerting = map[string]any{"alertmanagers": []any{map[string]any{"static_configs": []any{map[string]any{"targets": []string{alertmanager}}}}}}
	// A minute is a third of one here, so that the leak does not take that long.
	rules := inLessTime(t, filepath.Join(s.dir, "rules"), "for: 1m", "for: 20s")
	s.prometheus = startPrometheus(t, s.dir, "prometheus", map[string]any{
		"rule_files": []string{rules},
		"alerting":   s.alerting,
		"scrape_configs": []any{
			scrapeConfig(rendered(t, "monitoring", "PodMonitor", "oom-exporter"), filepath.Join(s.dir, "exporter.json")),
			scrapeConfig(rendered(t, "guard", "PodMonitor", "oom-exporter-guard"), filepath.Join(s.dir, "guard.json")),
		},
	})
	s.byService = startPrometheus(t, s.dir, "by-service", map[string]any{
		"scrape_configs": []any{scrapeConfig(rendered(t, "tls", "ServiceMonitor", "oom-exporter"), filepath.Join(s.dir, "service.json"))},
	})
	return s
}

// alertmanager runs with the shipped routes, times and inhibitions, and notifies
// the receiver.
func (s *stack) alertmanager(t *testing.T, dir, address string) {
	shipped, err := os.ReadFile("../../dashboards/alertmanager.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := string(shipped)
	for _, want := range []string{"group_wait: " + groupWait.String() + "\n", "http://127.0.0.1:9/"} {
		if !strings.Contains(config, want) {
			t.Fatalf("dashboards/alertmanager.yaml has no %q any more", want)
		}
	}
	config = strings.ReplaceAll(config, "http://127.0.0.1:9/", s.pages.URL+"/")
	put(t, filepath.Join(dir, "alertmanager.yml"), config)
	lab.Start(t, exec.Command("prometheus-alertmanager", "--config.file="+filepath.Join(dir, "alertmanager.yml"),
		"--storage.path="+filepath.Join(dir, "am"), "--web.listen-address="+address, "--cluster.listen-address="))
	lab.Eventually(t, time.Minute, "Alertmanager is ready", func() bool { return answers("http://" + address + "/-/ready") })
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func answers(url string) bool {
	resp, err := http.Get(url)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// Five minutes of the rules are one minute in the second Prometheus, which is longer
// than group_wait, within which an alert must not have ended. In a long run they
// stay, and it is down for seven minutes.
const (
	outageWindow = time.Minute
	longOutage   = 7 * time.Minute
)

func full() bool { return os.Getenv("OOM_E2E_FULL") != "" }

// incidents is a second Prometheus, at which things go wrong: it is down while the
// kernel kills, scrapes an exporter without honor_labels, and hears from
// kube-state-metrics of a node that has no exporter. Its rules are the shipped
// ones with shorter times, but for what they look back in a long run.
type incidents struct {
	prometheus
	server *lab.Process
	run    func() *lab.Process
	downAt time.Time
	back   time.Time // when it was up again.
	down   time.Duration
}

// inLessTime copies the rules with each time replaced; what they say stays.
func inLessTime(t *testing.T, dir string, times ...string) string {
	t.Helper()
	shorter := strings.NewReplacer(times...)
	files, err := filepath.Glob("../../dashboards/rules/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("rules: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, filepath.Base(file)), shorter.Replace(string(text)))
	}
	return filepath.Join(dir, "*.yaml")
}

// kubeStateMetrics tells of two nodes; only the first has an exporter.
func kubeStateMetrics(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, node := range []string{nodeName, bareNode} {
			_, _ = fmt.Fprintf(w, "kube_node_info{cluster=%q,node=%q,os_image=\"Debian GNU/Linux 12\"} 1\n", otherCluster, node)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

const (
	bareNode     = "worker-2" // a node that has no exporter.
	otherCluster = "eu-2"     // where the second Prometheus is.
)

func (s *stack) startIncidents(t *testing.T) *incidents {
	t.Helper()
	shorter := []string{"for: 5m", "for: 10s", "for: 15m", "for: 10s"}
	if !full() {
		shorter = append(shorter, "[5m]", "[1m]", "offset 5m", "offset 1m", "< 300", "< 60")
	}
	rules := inLessTime(t, filepath.Join(s.dir, "quick"), shorter...)
	exporter := scrapeConfig(rendered(t, "monitoring", "PodMonitor", "oom-exporter"), filepath.Join(s.dir, "exporter.json"))
	// A cluster of its own: what the first Prometheus tells of the same kills would
	// otherwise be in the same groups, which are told of again only after
	// group_interval.
	own := func(label, value string) step { return step{"target_label": label, "replacement": value} }
	plain := map[string]any{
		"job_name": "without-honor-labels", "file_sd_configs": exporter["file_sd_configs"],
		"relabel_configs": []step{own("cluster", "us-1"), own("namespace", "monitoring"), own("pod", "oom-exporter-aaaaa"), own("container", "oom-exporter")},
	}
	exporter["relabel_configs"] = append(exporter["relabel_configs"].([]step), own("cluster", otherCluster))
	states := map[string]any{"job_name": "kube-state-metrics", "honor_labels": true, "static_configs": []any{map[string]any{"targets": []string{kubeStateMetrics(t)}}}}
	i := &incidents{prometheus: prometheus(fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)))}
	i.run = func() *lab.Process {
		return runPrometheus(t, i.prometheus, s.dir, "incidents", map[string]any{
			"rule_files": []string{rules}, "alerting": s.alerting,
			"scrape_configs": []any{exporter, plain, states},
		}, map[string]string{"site": "incidents"})
	}
	i.server = i.run()
	return i
}

// stop ends Prometheus as a rollout does.
func (i *incidents) stop(t *testing.T) {
	t.Helper()
	i.server.Signal(t, syscall.SIGTERM)
	i.server.Wait(t, time.Minute)
	i.downAt = time.Now()
}

// restart begins it again, when the kill is older than what the rules look for
// by its time.
func (i *incidents) restart(t *testing.T, kill time.Time) {
	t.Helper()
	wait := outageWindow + interval
	if full() {
		wait = longOutage
	}
	lab.Eventually(t, wait+time.Minute, "the outage is long enough", func() bool { return time.Since(kill) > wait })
	i.server = i.run()
	i.back, i.down = time.Now(), time.Since(i.downAt)
}

// check wants a notification of each incident, that names what went wrong, and
// returns when that of the kill came.
func (i *incidents) check(t *testing.T, pages *receiver) (kill time.Time) {
	t.Helper()
	for alert, want := range map[string]string{
		"OOMContainerKilled":          `^OOM kill in ` + namespace + `/outage/outage: The OOM killer killed \S+ in ` + namespace + `/outage/outage on ` + nodeName + ` in cluster ` + otherCluster + ` at .*The limit that ran out: container\. It is 64MiB\.`,
		"OOMScrapeWithoutHonorLabels": `without honor_labels in cluster us-1: The job without-honor-labels renames .*Set honor_labels: true`,
		"OOMNodeWithoutExporter":      `^Node ` + bareNode + ` in cluster ` + otherCluster + ` has no oom_exporter`,
	} {
		var found page
		lab.Eventually(t, 3*time.Minute, alert+" is told of by the second Prometheus", func() bool {
			for _, p := range pages.all("firing", alert) {
				if p.labels["site"] == "incidents" && (alert != "OOMContainerKilled" || p.labels["container"] == "outage") {
					found = p
					return true
				}
			}
			return false
		})
		if alert == "OOMContainerKilled" {
			kill = found.at
		}
		if !regexp.MustCompile(want).MatchString(found.text) {
			t.Errorf("%s says %q, want %s", alert, found.text, want)
		}
	}
	// The exporter's own pod is accused of nothing.
	if accused := pages.about("oom-exporter"); len(accused) > 0 {
		t.Errorf("the exporter is accused: %+v", accused)
	}
	return kill
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// nodeName is the node that service discovery speaks of.
const nodeName = "worker-1"

// target is a pod of a DaemonSet of the chart, as Kubernetes would have it.
type target struct{ name, ip, address string }

// discovered is what Prometheus' service discovery says of the pod, through a
// service if there is one. Labels and names are those that the chart renders.
func (p target) discovered(set, service *object) map[string]string {
	pod := set.Spec.Template
	meta := map[string]string{
		"namespace": set.Metadata.Namespace, "pod_name": p.name, "pod_ip": p.ip, "pod_uid": "uid-of-" + p.name, "pod_host_ip": "192.0.2.1",
		"pod_phase": "Running", "pod_ready": "true", "pod_node_name": nodeName, "pod_controller_kind": "DaemonSet", "pod_controller_name": set.Metadata.Name,
		"pod_container_name": pod.Spec.Containers[0].Name, "pod_container_port_name": pod.Spec.Containers[0].Ports[0].Name,
	}
	for name, value := range pod.Metadata.Labels {
		meta["pod_label_"+labelName(name)], meta["pod_labelpresent_"+labelName(name)] = value, "true"
	}
	if service != nil {
		maps.Copy(meta, map[string]string{
			"service_name": service.Metadata.Name, "endpoints_name": service.Metadata.Name, "endpoint_port_name": service.Spec.Ports[0].Name,
			"endpoint_address_target_kind": "Pod", "endpoint_address_target_name": p.name, "endpoint_node_name": nodeName, "endpoint_ready": "true",
		})
		for name, value := range service.Metadata.Labels {
			meta["service_label_"+labelName(name)], meta["service_labelpresent_"+labelName(name)] = value, "true"
		}
	}
	labels := map[string]string{}
	for name, value := range meta {
		labels["__meta_kubernetes_"+name] = value
	}
	return labels
}

// discover tells Prometheus of the pod, and of no other.
func (p target) discover(t *testing.T, file string, set, service *object) {
	t.Helper()
	discover(t, file, map[string]any{"targets": []string{p.address}, "labels": p.discovered(set, service)})
}

// discover writes a file of targets, as a whole at once.
func discover(t *testing.T, file string, targets ...any) {
	t.Helper()
	text, err := json.Marshal(slices.Concat([]any{}, targets))
	if err != nil {
		t.Fatal(err)
	}
	put(t, file+".new", string(text))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// runExporter starts the exporter as a pod of its own and tells both
// Prometheuses of it.
func (s *stack) runExporter(t *testing.T, name, ip string) {
	t.Helper()
	s.exporter = lab.StartExporter(t, append([]string{
		"--path.rootfs=" + s.rootfs, "--include.namespace=" + s.namespaces, "--state.file=" + filepath.Join(s.dir, "state.json"),
		"--metrics.enable=oom_container_start_time_seconds",
	}, s.args...)...)
	p := target{name, ip, strings.TrimPrefix(s.exporter.URL, "http://")}
	p.discover(t, filepath.Join(s.dir, "exporter.json"), rendered(t, "monitoring", "DaemonSet", "oom-exporter"), nil)
	p.discover(t, filepath.Join(s.dir, "service.json"), rendered(t, "tls", "DaemonSet", "oom-exporter"), rendered(t, "tls", "Service", "oom-exporter"))
}

// replaceExporter does what a rollout does: the pod goes, and another one with
// another name and address comes to the same node. It must start no series, and
// neither end the alert on the leak nor begin it anew, though the series may be
// stale for a moment.
func (s *stack) replaceExporter(t *testing.T) {
	t.Helper()
	since := func() string {
		return s.one(t, `ALERTS_FOR_STATE{alertname="OOMContainerNearLimit",container="leaking"}`)
	}
	fires := since()
	const started = `process_start_time_seconds{job="oom-exporter"}`
	before := map[prometheus][]string{s.prometheus: s.lasting(t), s.byService: s.byService.lasting(t)}
	begun := s.one(t, started)
	for p, file := range map[prometheus]string{s.prometheus: "exporter.json", s.byService: "service.json"} {
		discover(t, filepath.Join(s.dir, file))
		lab.Eventually(t, time.Minute, "the pod is no target any more", func() bool { return !p.scrapes(t, s.exporter.URL) })
	}
	s.exporter.Stop(t)
	s.runExporter(t, "oom-exporter-bbbbb", "10.1.0.2")
	for p, old := range before {
		lab.Eventually(t, time.Minute, "the new pod is scraped", func() bool {
			now := p.one(t, started)
			return now != "" && now != begun
		})
		p.checkLabels(t)
		for _, series := range p.lasting(t) {
			if !slices.Contains(old, series) {
				t.Errorf("the new pod starts the series %s", series)
			}
		}
	}
	if now := since(); fires == "" || now != fires {
		t.Errorf("the alert has been there since %q, and after the pod was replaced since %q", fires, now)
	}
	if p, ended := s.pages.find("resolved", "OOMContainerNearLimit", "leaking"); ended {
		t.Errorf("the alert ended when the pod was replaced: %v", p)
	}
}

// lasting lists the series of the job but those that come and go with the
// host's processes and groups, and those of the leak, whose end is near.
func (p prometheus) lasting(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, s := range p.ask(t, `{job="oom-exporter",pid="",cgroup="",container!="leaking"}`) {
		text, err := json.Marshal(s.Metric)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(text))
	}
	if len(list) < 100 {
		t.Errorf("only %d series", len(list))
	}
	return list
}

// checkLabels wants the series labelled as rules and dashboards expect them.
func (p prometheus) checkLabels(t *testing.T) {
	t.Helper()
	for q, want := range map[string]int{
		`{job=~".+",instance!="` + nodeName + `"} or {job=~".+",node!="` + nodeName + `"}`: 0,
		`count by (job) (up{job="oom-exporter"})`:                                          1,
		`up{pod=""}`: len(p.ask(t, `up`)),
		// The workload's names, not the exporter's.
		`oom_container_memory_usage_bytes{namespace="` + namespace + `",pod="killed",container="killed"}`: 1,
		`{namespace=~"oom-exporter|monitoring"}`:                                                          0,
		// Nor do the exporter's stand in for those that are empty.
		`oom_node_kill_margin_bytes{namespace="",pod="",container="",service="",endpoint=""}`: 1,
	} {
		if got := len(p.ask(t, q)); got != want {
			t.Errorf("%d series instead of %d: %s", got, want, q)
		}
	}
	for _, name := range p.labelNames(t) {
		if strings.HasPrefix(name, "exported_") || name == "endpoint" || name == "service" {
			t.Errorf("there is a label %s", name)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

// object is what the chart renders, as far as scraping depends on it. Fields of
// type any are about the way to a target, not about its labels.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Spec struct {
		JobLabel            string     `yaml:"jobLabel"`
		NamespaceSelector   any        `yaml:"namespaceSelector"`
		Selector            selector   // of a monitor or a DaemonSet.
		PodMetricsEndpoints []endpoint `yaml:"podMetricsEndpoints"`
		Endpoints           []endpoint
		Ports               []struct{ Name string } // of a Service.
		Template            struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Containers []struct {
					Name  string
					Ports []struct{ Name string }
				}
			}
		}
	}
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type endpoint struct {
	Port, Path        string
	HonorLabels       bool `yaml:"honorLabels"`
	Relabelings       []relabeling
	MetricRelabelings []relabeling `yaml:"metricRelabelings"`
	Interval, Scheme  any
	ScrapeTimeout     any `yaml:"scrapeTimeout"`
	TLSConfig         any `yaml:"tlsConfig"`
	BasicAuth         any `yaml:"basicAuth"`
}

// relabeling is the operator's: its names are not Prometheus'.
type relabeling struct {
	SourceLabels []string `yaml:"sourceLabels"`
	TargetLabel  string   `yaml:"targetLabel"`
	Separator    *string
	Replacement  *string
	Regex        string
	Action       string
}

// step is a relabelling as Prometheus has it.
type step map[string]any

func (r relabeling) step() step {
	s := step{}
	for name, value := range map[string]string{"target_label": r.TargetLabel, "regex": r.Regex, "action": strings.ToLower(r.Action)} {
		if value != "" {
			s[name] = value
		}
	}
	if r.SourceLabels != nil {
		s["source_labels"] = r.SourceLabels
	}
	if r.Separator != nil {
		s["separator"] = *r.Separator
	}
	if r.Replacement != nil {
		s["replacement"] = *r.Replacement
	}
	return s
}

// rendered reads an object out of a case of the chart's golden files, which
// the chart's tests hold against the chart.
func rendered(t *testing.T, golden, kind, name string) *object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../charts/testdata", golden+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(part), &o); err != nil || o.Kind != kind || o.Metadata.Name != name {
			continue // of another kind, with other fields.
		}
		if strings.HasSuffix(kind, "Monitor") {
			// What this file does not know would be left out of the test in silence.
			if err := yaml.UnmarshalStrict([]byte(part), new(object)); err != nil {
				t.Fatalf("%s %s: %v", kind, name, err)
			}
		}
		return &o
	}
	t.Fatalf("charts/testdata/%s.yaml has no %s %s", golden, kind, name)
	return nil
}

var notInLabels = regexp.MustCompile(`[^a-zA-Z0-9_]`)

func labelName(name string) string { return notInLabels.ReplaceAllString(name, "_") }

func copyLabel(from, to string) step {
	return step{"source_labels": []string{from}, "target_label": to}
}

// scrapeConfig turns a monitor into what prometheus-operator makes of it, in the
// order of its generatePodMonitorConfig and generateServiceMonitorConfig, on
// targets out of a file instead of the API server's.
func scrapeConfig(o *object, file string) map[string]any {
	role, endpoints, job := "pod", o.Spec.PodMetricsEndpoints, fmt.Sprintf("podMonitor/%s/%s/0", o.Metadata.Namespace, o.Metadata.Name)
	port := "__meta_kubernetes_pod_container_port_name"
	if o.Kind == "ServiceMonitor" {
		role, endpoints, job = "service", o.Spec.Endpoints, fmt.Sprintf("serviceMonitor/%s/%s/0", o.Metadata.Namespace, o.Metadata.Name)
		port = "__meta_kubernetes_endpoint_port_name"
	}
	e := endpoints[0]
	running := step{"action": "drop", "source_labels": []string{"__meta_kubernetes_pod_phase"}, "regex": "(Failed|Succeeded)"}
	steps := []step{copyLabel("job", "__tmp_prometheus_job_name"), running}
	for _, label := range slices.Sorted(maps.Keys(o.Spec.Selector.MatchLabels)) {
		name := labelName(label)
		steps = append(steps, step{
			"action": "keep", "regex": "(" + o.Spec.Selector.MatchLabels[label] + ");true",
			"source_labels": []string{"__meta_kubernetes_" + role + "_label_" + name, "__meta_kubernetes_" + role + "_labelpresent_" + name},
		})
	}
	steps = append(steps, step{"action": "keep", "source_labels": []string{port}, "regex": e.Port})
	steps = append(steps, ownLabels(o, role)...)
	steps = append(steps,
		step{"source_labels": []string{"__meta_kubernetes_" + role + "_label_" + labelName(o.Spec.JobLabel)}, "target_label": "job", "regex": "(.+)", "replacement": "${1}"},
		step{"target_label": "endpoint", "replacement": e.Port})
	for _, r := range e.Relabelings {
		steps = append(steps, r.step())
	}
	var metrics []step
	for _, r := range e.MetricRelabelings {
		metrics = append(metrics, r.step())
	}
	return map[string]any{
		"job_name": job, "honor_labels": e.HonorLabels, "metrics_path": e.Path, "relabel_configs": steps, "metric_relabel_configs": metrics,
		"file_sd_configs": []any{map[string]any{"files": []string{file}, "refresh_interval": "1s"}},
	}
}

// ownLabels gives a target the names of its own pod, and a job by default.
func ownLabels(o *object, role string) []step {
	pod := []step{copyLabel("__meta_kubernetes_namespace", "namespace"), copyLabel("__meta_kubernetes_pod_container_name", "container"), copyLabel("__meta_kubernetes_pod_name", "pod")}
	if role == "pod" {
		return append(pod, step{"target_label": "job", "replacement": o.Metadata.Namespace + "/" + o.Metadata.Name})
	}
	var steps []step
	for kind, label := range map[string]string{"Node": "node", "Pod": "pod"} {
		steps = append(steps, step{
			"source_labels": []string{"__meta_kubernetes_endpoint_address_target_kind", "__meta_kubernetes_endpoint_address_target_name"},
			"regex":         kind + ";(.*)", "replacement": "${1}", "target_label": label,
		})
	}
	steps = append(steps, pod...)
	return append(steps, copyLabel("__meta_kubernetes_service_name", "service"), copyLabel("__meta_kubernetes_service_name", "job"))
}

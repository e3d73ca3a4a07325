// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

// daemonSet is what the tests look at in one; they read the golden files, so
// they need no helm.
type daemonSet struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Template struct {
			Spec struct {
				HostPID                      bool   `yaml:"hostPID"`
				HostNetwork                  *bool  `yaml:"hostNetwork"`
				HostIPC                      *bool  `yaml:"hostIPC"`
				AutomountServiceAccountToken *bool  `yaml:"automountServiceAccountToken"`
				PriorityClassName            string `yaml:"priorityClassName"`
				SecurityContext              struct {
					RunAsUser      int  `yaml:"runAsUser"`
					RunAsNonRoot   bool `yaml:"runAsNonRoot"`
					SeccompProfile struct{ Type string }
				} `yaml:"securityContext"`
				InitContainers []any `yaml:"initContainers"`
				Containers     []struct {
					Args      []string
					Resources struct {
						Requests, Limits map[string]string
					}
					LivenessProbe, ReadinessProbe map[string]any `yaml:",omitempty"`
					SecurityContext               struct {
						Privileged               *bool
						AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
						ReadOnlyRootFilesystem   *bool `yaml:"readOnlyRootFilesystem"`
						Capabilities             struct{ Drop, Add []string }
					} `yaml:"securityContext"`
					VolumeMounts []struct {
						Name              string
						MountPath         string `yaml:"mountPath"`
						ReadOnly          bool   `yaml:"readOnly"`
						RecursiveReadOnly string `yaml:"recursiveReadOnly"`
						MountPropagation  string `yaml:"mountPropagation"`
					} `yaml:"volumeMounts"`
				}
				Volumes []struct {
					Name     string
					HostPath *struct{ Path, Type string } `yaml:"hostPath"`
				}
			}
		}
	}
}

// objects parses a rendered file into one text for each object.
func objects(t *testing.T, path string) []string {
	t.Helper()
	return strings.Split(read(t, path), "\n---\n")
}

func daemonSets(t *testing.T) map[string]daemonSet {
	t.Helper()
	found := map[string]daemonSet{}
	for _, path := range append(glob(t, "testdata/*.yaml"), manifests) {
		for _, text := range objects(t, path) {
			var d daemonSet
			if err := yaml.Unmarshal([]byte(text), &d); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if d.Kind == "DaemonSet" && !strings.HasSuffix(d.Metadata.Name, "-guard") {
				found[strings.TrimSuffix(filepath.Base(path), ".yaml")] = d
			}
		}
	}
	if want := len(glob(t, chart+"/ci/*-values.yaml")) + 1; len(found) != want {
		t.Fatalf("%d DaemonSets, want %d", len(found), want)
	}
	return found
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }

// TestLeastPrivilege holds every case against what the README promises.
func TestLeastPrivilege(t *testing.T) {
	for name, d := range daemonSets(t) {
		t.Run(name, func(t *testing.T) {
			pod := d.Spec.Template.Spec
			if pod.HostNetwork != nil || pod.HostIPC != nil || !isFalse(pod.AutomountServiceAccountToken) {
				t.Errorf("hostNetwork %v, hostIPC %v, token %v", pod.HostNetwork, pod.HostIPC, pod.AutomountServiceAccountToken)
			}
			if pod.SecurityContext.SeccompProfile.Type != "" && pod.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
				t.Errorf("seccomp %q", pod.SecurityContext.SeccompProfile.Type)
			}
			if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
				t.Fatalf("%d containers, %d init containers", len(pod.Containers), len(pod.InitContainers))
			}
			c := pod.Containers[0]
			s := c.SecurityContext
			if !isFalse(s.Privileged) || !isFalse(s.AllowPrivilegeEscalation) || !isTrue(s.ReadOnlyRootFilesystem) {
				t.Errorf("security context %+v", s)
			}
			if !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("capabilities %+v", s.Capabilities)
			}
			root := pod.SecurityContext.RunAsUser == 0
			capabilities := []string{"SYSLOG"}
			if strings.HasPrefix(name, "bpf") {
				capabilities = append(capabilities, "BPF", "PERFMON")
			}
			if added := s.Capabilities.Add; root && !slices.Equal(added, capabilities) || !root && (len(added) != 0 || !pod.SecurityContext.RunAsNonRoot) {
				t.Errorf("user %d with capabilities %v", pod.SecurityContext.RunAsUser, added)
			}
			if unprivileged := strings.HasPrefix(name, "unprivileged") || strings.HasPrefix(name, "no-hostpid"); root == unprivileged {
				t.Errorf("runs as %d", pod.SecurityContext.RunAsUser)
			}
			if c.Resources.Limits["memory"] == "" || c.Resources.Limits["memory"] != c.Resources.Requests["memory"] || c.Resources.Limits["cpu"] != "" {
				t.Errorf("resources %+v: want memory request = limit, and no CPU limit", c.Resources)
			}
		})
	}
}

// TestHostMounts wants of the host only what is listed, and read-only, also
// below, but for the state's directory.
func TestHostMounts(t *testing.T) {
	allowed := []string{"/sys/fs/cgroup", "/var/log/containers", "/var/log/pods", "/run/oom_exporter", "/dev/kmsg", "/run/containerd/containerd.sock", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpuset"}
	byDefault := allowed[:4]
	for name, d := range daemonSets(t) {
		pod := d.Spec.Template.Spec
		host := map[string]string{}
		var paths []string
		for _, v := range pod.Volumes {
			if v.HostPath == nil {
				continue
			}
			host[v.Name] = v.HostPath.Path
			paths = append(paths, v.HostPath.Path)
			if !slices.Contains(allowed, v.HostPath.Path) || v.HostPath.Type == "" {
				t.Errorf("%s: mounts %s of the host, type %q", name, v.HostPath.Path, v.HostPath.Type)
			}
		}
		if (name == "default" || name == "kubernetes") && !slices.Equal(paths, byDefault) {
			t.Errorf("%s: mounts %v, want %v", name, paths, byDefault)
		}
		if name == "cgroup-v1" && slices.Contains(paths, "/sys/fs/cgroup") {
			t.Errorf("%s: mounts %v: below the tree every hierarchy may be writable", name, paths)
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			path, ok := host[m.Name]
			if !ok {
				continue
			}
			if m.MountPath != path || m.MountPropagation != "" {
				t.Errorf("%s: %s is mounted at %s with propagation %q", name, path, m.MountPath, m.MountPropagation)
			}
			file := path == "/dev/kmsg" || strings.HasSuffix(path, ".sock")
			old := name == "kubernetes" // which versions take that don't know the field.
			if path != "/run/oom_exporter" && (!m.ReadOnly || !file && m.RecursiveReadOnly == "" && !old) {
				t.Errorf("%s: %s is writable", name, path)
			}
		}
	}
}

// TestSwitches wants each switch of the values to reach the program.
func TestSwitches(t *testing.T) {
	d := daemonSets(t)
	has := func(name string, flags ...string) {
		t.Helper()
		for _, flag := range flags {
			if !slices.Contains(d[name].Spec.Template.Spec.Containers[0].Args, flag) {
				t.Errorf("%s lacks the argument %s", name, flag)
			}
		}
	}
	has("default", "--events.kmsg=require", "--state.file=/run/oom_exporter/state.json", "--web.listen-address=:10137")
	has("unprivileged", "--events.kmsg=off")
	has("kmsg-device", "--events.kmsg=require")
	has("no-hostpid", "--no-collector.process", "--no-collector.predict")
	has("tls", "--web.config.file=/etc/oom_exporter/web/web-config.yml", "--web.listen-address=:10443")
	has("custom", "--exclude.namespace=kube-.*", "--cri.socket=/run/containerd/containerd.sock", "--process.top=0", "--eviction.threshold=5%")
	if !d["default"].Spec.Template.Spec.HostPID || d["no-hostpid"].Spec.Template.Spec.HostPID {
		t.Error("hostPID does not follow its switch")
	}
	if got := d["default"].Spec.Template.Spec.PriorityClassName; got != "system-node-critical" {
		t.Errorf("priority class %q", got)
	}
	if got := d["kmsg-device"].Spec.Template.Spec.Containers[0].Resources.Limits["example.com/kmsg"]; got != "1" {
		t.Errorf("%q devices", got)
	}
	tls, plain := read(t, "testdata/tls.yaml"), read(t, "testdata/default.yaml")
	if strings.Contains(tls, "httpGet") || strings.Count(tls, "tcpSocket") != 2 || strings.Contains(plain, "tcpSocket") || strings.Count(plain, "httpGet") != 2 {
		t.Error("the probes do not follow TLS: without it httpGet, with it tcpSocket")
	}
}

// TestScrapeConfig wants both monitors to keep the metrics' own labels and to
// name a target after its node.
func TestScrapeConfig(t *testing.T) {
	for name, kind := range map[string]string{"monitoring": "PodMonitor", "tls": "ServiceMonitor"} {
		found := false
		for _, text := range objects(t, "testdata/"+name+".yaml") {
			if !strings.Contains(text, "kind: "+kind+"\n") {
				continue
			}
			found = true
			for _, want := range []string{
				"honorLabels: true", "jobLabel: app.kubernetes.io/name",
				"- sourceLabels: [__meta_kubernetes_pod_node_name]\n          targetLabel: instance\n",
				"- sourceLabels: [__meta_kubernetes_pod_node_name]\n          targetLabel: node\n",
				"- action: labeldrop\n          regex: (namespace|pod|container|endpoint|service)\n",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("%s lacks %q", kind, want)
				}
			}
		}
		if !found {
			t.Errorf("no %s in case %s", kind, name)
		}
	}
}

// TestScrapeExample gives the README's configuration without the operator to
// Prometheus' own checker, and wants the same labels of it.
func TestScrapeExample(t *testing.T) {
	_, example, _ := strings.Cut(read(t, chart+"/README.md"), "```yaml\n")
	example, _, found := strings.Cut(example, "```")
	if !found {
		t.Fatal("there is no example")
	}
	// Debian's promtool knows no Kubernetes.
	example = regexp.MustCompile(`kubernetes_sd_configs:\n\s+- role: pod\n\s+namespaces: .*\n`).ReplaceAllString(example, "static_configs: []\n")
	checkScrape(t, example, "honor_labels: true", "target_label: instance", "target_label: node", "job_name: oom-exporter")
}

// checkScrape gives a configuration that has these words to promtool.
func checkScrape(t *testing.T, example string, words ...string) {
	t.Helper()
	for _, want := range words {
		if !strings.Contains(example, want) {
			t.Errorf("the example lacks %q", want)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on PATH (Debian: prometheus)")
	}
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "config", path).CombinedOutput(); err != nil {
		t.Errorf("promtool check config: %v\n%s", err, out)
	}
}

// TestReadmeSaysHowToScrape gives README's first page to Prometheus' own checker,
// and keeps README at a length that is read.
func TestReadmeSaysHowToScrape(t *testing.T) {
	readme := read(t, "../README.md")
	if n := strings.Count(readme, "\n"); n > 150 {
		t.Errorf("README has %d lines, want at most 150", n)
	}
	head, rest, _ := strings.Cut(readme, "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if n := strings.Count(head, "\n"); !found || n > 40 {
		t.Fatalf("the first page does not say how to scrape: line %d", n)
	}
	checkScrape(t, example, "honor_labels: true", "job_name: oom-exporter", ":10137")
}

// TestVersion wants the chart to install this version.
func TestVersion(t *testing.T) {
	var c struct {
		AppVersion string `yaml:"appVersion"`
	}
	if err := yaml.Unmarshal([]byte(read(t, chart+"/Chart.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(read(t, "../VERSION")); c.AppVersion != want {
		t.Errorf("appVersion %s, want %s", c.AppVersion, want)
	}
}

// leaves lists the paths of the values that have a description, with it.
func leaves(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	var path []string
	description := ""
	key := regexp.MustCompile(`^( *)([A-Za-z0-9]+):`)
	for line := range strings.Lines(read(t, chart+"/values.yaml")) {
		trimmed := strings.TrimSpace(line)
		if m := key.FindStringSubmatch(line); m != nil {
			path = append(path[:len(m[1])/2], m[2])
			if description != "" {
				found[strings.Join(path, ".")] = description
				description = ""
			}
		} else if text, ok := strings.CutPrefix(trimmed, "# -- "); ok {
			description = text
		} else if text, ok := strings.CutPrefix(trimmed, "# "); ok && description != "" {
			description += " " + text
		}
	}
	return found
}

// TestReadme wants each value and its description in the chart's README.
func TestReadme(t *testing.T) {
	readme := read(t, chart+"/README.md")
	values := leaves(t)
	for path, description := range values {
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(path) + ` \| [a-z]+ \| .* \| ` + regexp.QuoteMeta(description) + ` \|$`)
		if !row.MatchString(readme) {
			t.Errorf("README.md has no row %s: %s", path, description)
		}
	}
	if rows := regexp.MustCompile(`(?m)^\| [a-zA-Z0-9.]+ \| (string|bool|int|list|object) \|`).FindAllString(readme, -1); len(rows) != len(values) {
		t.Errorf("%d rows for %d values", len(rows), len(values))
	}
}

// TestSchemaCoversValues wants a schema for each value and no other.
func TestSchemaCoversValues(t *testing.T) {
	type schema struct {
		Properties map[string]json.RawMessage
		Type       string
		Closed     *bool `json:"additionalProperties"`
	}
	var walk func(at string, values map[any]any, raw []byte)
	walk = func(at string, values map[any]any, raw []byte) {
		var s schema
		if err := json.Unmarshal(raw, &s); err != nil || s.Properties == nil {
			return // a free-form object.
		}
		if !isFalse(s.Closed) && at != "values.global" { // other charts read that, too.
			t.Errorf("%s takes any key", at)
		}
		for k, v := range values {
			name, _ := k.(string)
			sub, ok := s.Properties[name]
			if !ok {
				t.Errorf("no schema for %s.%s", at, name)
			} else if m, ok := v.(map[any]any); ok {
				walk(at+"."+name, m, sub)
			}
		}
		for name := range s.Properties {
			if _, ok := values[name]; !ok && len(values) > 0 { // an empty default says nothing of its keys.
				t.Errorf("schema for %s.%s, which is no value", at, name)
			}
		}
	}
	var values map[any]any
	if err := yaml.Unmarshal([]byte(read(t, chart+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	walk("values", values, []byte(read(t, chart+"/values.schema.json")))
}

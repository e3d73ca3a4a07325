// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v2"
)

// valuesFile writes values, for what --set can't say.
func valuesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// refused wants the values refused by a sentence with the words in it, not by an
// error of a template or of YAML.
func refused(t *testing.T, values, want string) {
	t.Helper()
	out, err := helm(t, "template", "x", chart, "--kube-version", kubernetes, "--values", images, "--values", valuesFile(t, values))
	if err == nil || !strings.Contains(out, want) || strings.Contains(out, "error calling") || strings.Contains(out, "wrong type") || strings.Contains(out, "YAML parse error") {
		t.Errorf("%s: %v, want %q:\n%s", values, err, want, out)
	}
}

// TestEveryKeyOnce: labels, annotations and variables of the values take the
// place of the chart's, and of more general ones; no map has a key twice.
func TestEveryKeyOnce(t *testing.T) {
	const values = `
commonLabels: {app.kubernetes.io/version: v, helm.sh/chart: c, team: all}
podLabels: {team: pods, app.kubernetes.io/version: p}
podAnnotations: {kubectl.kubernetes.io/default-container: other, note: "1"}
appArmorProfile: {type: Unconfined}
podMonitor: {enabled: true, additionalLabels: {team: monitors}}
serviceMonitor: {enabled: true, additionalLabels: {team: monitors}}
prometheusRule: {enabled: true, additionalLabels: {team: rules}}
dashboards: {enabled: true, labels: {team: dashboards}}
networkPolicy: {enabled: true}
guard: {enabled: true}
extraEnv: [{name: GOMEMLIMIT, value: 1GiB}, {name: OTHER, value: "1"}]
`
	for _, version := range []string{kubernetes, oldest} {
		out, err := helm(t, "template", "oom-exporter", chart, "--kube-version", version, "--values", images, "--values", valuesFile(t, values))
		if err != nil {
			t.Fatal(out)
		}
		n := 0
		for text := range strings.SplitSeq(out, "\n---\n") {
			n++
			if err := yaml.UnmarshalStrict([]byte(text), new(any)); err != nil {
				t.Errorf("%v in\n%.300s", err, text)
			}
		}
		if n < 15 {
			t.Errorf("%d objects", n)
		}
		found := byKind(t, out)
		team := object{}
		for kind, objects := range found {
			team[kind] = at(objects[0], "metadata", "labels", "team")
		}
		want := object{
			"DaemonSet": "all", "ServiceAccount": "all", "Service": "all", "Pod": "all", "NetworkPolicy": "all", "ClusterRole": "all", "ClusterRoleBinding": "all",
			"PodMonitor": "monitors", "ServiceMonitor": "monitors", "PrometheusRule": "rules", "ConfigMap": "dashboards",
		}
		if diff := cmp.Diff(want, team); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
		template := at(found["DaemonSet"], "spec", "template", "metadata")
		if at(template, "labels", "team") != "pods" || at(template, "labels", "app.kubernetes.io/version") != "p" || at(template, "annotations", "kubectl.kubernetes.io/default-container") != "other" {
			t.Errorf("the pods have %v", template)
		}
		env := container(t, found, 0)["env"]
		if diff := cmp.Diff([]any{object{"name": "GOMEMLIMIT", "value": "1GiB"}, object{"name": "OTHER", "value": "1"}}, env); diff != "" {
			t.Errorf("environment (-want +got):\n%s", diff)
		}
	}
}

// TestTextStaysText: names that YAML would take for something else are text
// wherever they come from, the release's name and namespace among them.
func TestTextStaysText(t *testing.T) {
	const values = `
priorityClassName: "123"
web: {configSecret: "123", tlsSecret: "null"}
serviceAccount: {name: "123"}
podMonitor: {enabled: true, namespace: "123"}
serviceMonitor: {enabled: true, namespace: "123"}
prometheusRule: {enabled: true, namespace: "123"}
dashboards: {enabled: true, namespace: "123"}
networkPolicy: {enabled: true}
names: {criSocket: "/run/a #b.sock"}
guard: {enabled: true, priorityClassName: "1e3", serviceAccount: {name: "123"}, criSocket: "/run/a #b.sock"}
state: {hostPath: "/run/a #b"}
image: {tag: "1"}
fullnameOverride: "123"
`
	out, err := helm(t, "template", "123", chart, "--namespace", "456", "--kube-version", kubernetes, "--values", images, "--values", valuesFile(t, values))
	if err != nil {
		t.Fatal(out)
	}
	for kind, objects := range byKind(t, out) {
		for _, o := range objects {
			for _, path := range [][]string{
				{"metadata", "name"},
				{"metadata", "namespace"},
				{"metadata", "labels", "app.kubernetes.io/instance"},
				{"spec", "selector", "matchLabels", "app.kubernetes.io/instance"},
				{"spec", "selector", "app.kubernetes.io/instance"},
				{"spec", "podSelector", "matchLabels", "app.kubernetes.io/instance"},
				{"spec", "template", "metadata", "labels", "app.kubernetes.io/instance"},
				{"roleRef", "name"},
				{"subjects", "name"},
				{"subjects", "namespace"},
				{"spec", "template", "spec", "priorityClassName"},
				{"spec", "template", "spec", "serviceAccountName"},
			} {
				if v := at(o, path...); v != nil {
					if _, ok := v.(string); !ok {
						t.Errorf("%s: %v is %v, no text", kind, path, v)
					}
				}
			}
			if names, ok := at(o, "spec", "namespaceSelector", "matchNames").([]any); ok && names[0] != "456" {
				t.Errorf("%s selects the namespace %v", kind, names[0])
			}
			volumes, _ := at(o, "spec", "template", "spec", "volumes").([]any)
			for _, v := range volumes {
				for _, name := range []any{at(v, "secret", "secretName"), at(v, "hostPath", "path")} {
					if text, ok := name.(string); name != nil && (!ok || text == "/run/a") {
						t.Errorf("%s: volume %v", kind, v)
					}
				}
			}
		}
	}
}

// TestImageAddresses: an address is put together right, or its part is refused.
func TestImageAddresses(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for values, want := range map[string]string{
		"{global: {imageRegistry: mirror.example/}, image: {repository: a}}":                          "mirror.example/a:0.1.0",
		"{image: {registry: 'localhost:5000/', repository: a/b-c/d_e.f}}":                             "localhost:5000/a/b-c/d_e.f:0.1.0",
		"{image: {registry: '[::1]:5000/proxy', repository: a}}":                                      "[::1]:5000/proxy/a:0.1.0",
		"{image: {repository: 'Registry.example:443/a__b', tag: V1.2-rc_3}}":                          "Registry.example:443/a__b:V1.2-rc_3",
		"{image: {repository: a, tag: ignored, digest: '" + digest + "'}}":                            "a@" + digest,
		"{global: {imageRegistry: null}, image: {registry: null, repository: a, tag: null}}":          "a:0.1.0",
		"{global: {imageRegistry: m.example, other: 1}, image: {registry: r.example, repository: a}}": "m.example/a:0.1.0",
	} {
		if got := container(t, kinds(t, kubernetes, "--values", valuesFile(t, values)), 0)["image"]; got != want {
			t.Errorf("%s: %v, want %s", values, got, want)
		}
	}
	for values, want := range map[string]string{
		"{global: {imageRegistry: 'https://mirror.example'}}":        "imageRegistry",
		"{image: {registry: 'https://mirror.example'}}":              "registry",
		"{image: {registry: /}}":                                     "registry",
		"{image: {repository: /a}}":                                  "repository",
		"{image: {repository: a/}}":                                  "repository",
		"{image: {repository: 'a:1'}}":                               "repository",
		"{image: {repository: 'a@" + digest + "'}}":                  "repository",
		"{image: {repository: Team/A}}":                              "repository",
		"{image: {tag: '" + digest + "'}}":                           "tag",
		"{image: {tag: 'v1 '}}":                                      "tag",
		"{image: {tag: 1}}":                                          "tag",
		"{image: {digest: '" + digest[7:] + "'}}":                    "digest",
		"{image: {digest: '" + strings.ToUpper(digest) + "'}}":       "digest",
		"{guard: {enabled: true, image: {repository: 'oci://a/b'}}}": "repository",
	} {
		refused(t, values, want)
	}
}

// TestOddValues: what would only fail in the cluster, or make pods that can't
// start, is refused with a sentence.
func TestOddValues(t *testing.T) {
	for values, want := range map[string]string{
		"{extraArgs: ['--log.level debug']}":                                                `"--log.level debug" is no flag`,
		"{extraArgs: [--process.top, '5', '6']}":                                            `"6" is no flag`,
		"{extraArgs: [--log.level=debug, top]}":                                             `"top" is no flag`,
		"{extraArgs: [--]}":                                                                 `"--" is no flag`,
		"{extraArgs: [--=x]}":                                                               `"--=x" is no flag`,
		"{extraArgs: ['--Log.Level=debug']}":                                                `"--Log.Level=debug" is no flag`,
		"{extraArgs: [null]}":                                                               "extraArgs",
		"{extraArgs: ['--web.listen-address=:1']}":                                          "web.port",
		"{extraArgs: [--web.listen-address, '127.0.0.1:1']}":                                "web.port",
		"{guard: {enabled: true, extraArgs: ['--web.listen-address=:1']}}":                  "guard.port",
		"{commonLabels: {app.kubernetes.io/name: x}}":                                       "commonLabels",
		"{podLabels: {app.kubernetes.io/instance: x}}":                                      "podLabels",
		"{nameOverride: Foo_Bar}":                                                           "nameOverride",
		"{fullnameOverride: foo.}":                                                          "fullnameOverride",
		"{updateStrategy: {type: Recreate}}":                                                "updateStrategy",
		"{updateStrategy: {rollingUpdate: 5}}":                                              "rollingUpdate",
		"{updateStrategy: {rollingUpdate: {maxUnavailable: many}}}":                         "maxUnavailable",
		"{affinity: {nodeAffinity: x}}":                                                     "nodeAffinity",
		"{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [x]}}}": "requiredDuring",
		"{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [x]}}}}":                     "nodeSelectorTerms",
		"{guard: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: {}}}}}}":             "nodeSelectorTerms",
		"{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: x}]}}}}": "matchExpressions",
		"{web: {configSecret: 'a: b'}}":                                     "configSecret",
		"{priorityClassName: 'a: b'}":                                       "priorityClassName",
		"{podMonitor: {namespace: 'a b'}}":                                  "namespace",
		"{evictionThreshold: -1}":                                           "evictionThreshold",
		"{resources: {limits: 5}}":                                          "limits",
		"{prometheusRule: {config: {selector: job=foo}}}":                   "selector",
		"{prometheusRule: {config: {namespaceSelector: 'namespace!~\"x'}}}": "namespaceSelector",
		"{prometheusRule: {config: {exporterJob: 'a\"b'}}}":                 "exporterJob",
		`{prometheusRule: {config: {exporterJob: 'a\.b'}}}`:                 "exporterJob",
	} {
		refused(t, values, want)
	}
}

// TestOddValuesWork: what looks odd and is right is taken.
func TestOddValuesWork(t *testing.T) {
	for values, path := range map[string][]string{
		"{updateStrategy: {rollingUpdate: {maxSurge: 0%}}}":                                            {"spec", "updateStrategy"},
		"{updateStrategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}}":                          {"spec", "updateStrategy"},
		"{affinity: {nodeAffinity: null, podAffinity: null}}":                                          {"spec", "template", "spec", "affinity"},
		"{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: null}}}":           {"spec", "template", "spec", "affinity"},
		"{prometheusRule: {enabled: true, config: {selector: 'job=\"a\", cluster!~\"b\\\\\\\\.c\"'}}}": {"spec", "template"},
		"{extraArgs: [--web.listen-address=127.0.0.1:1, --web.listen-address, ':10137']}":              {"spec", "template"},
	} {
		if found := kinds(t, kubernetes, "--values", valuesFile(t, values)); at(found["DaemonSet"], path...) == nil {
			t.Errorf("%s: no %v", values, path)
		}
	}
	args := texts(container(t, kinds(t, kubernetes, "--values", valuesFile(t, "{evictionThreshold: 104857600, processTop: 10000}")), 0)["args"])
	for _, want := range []string{"--eviction.threshold=104857600", "--process.top=10000"} {
		if !strings.Contains(strings.Join(args, " "), want) {
			t.Errorf("%s is missing: %v", want, args)
		}
	}
	found := kinds(t, kubernetes, "--values", valuesFile(t, "{readinessProbe: {httpGet: {path: /x}}, extraArgs: [--web.config.file=/c.yml], securityContext: {capabilities: {add: null}}}"))
	c := container(t, found, 0)
	if at(c, "readinessProbe", "httpGet", "port") != "metrics" || at(c, "livenessProbe", "tcpSocket", "port") != "metrics" {
		t.Errorf("probes: %v, %v", c["readinessProbe"], c["livenessProbe"])
	}
	if capabilities := at(c, "securityContext", "capabilities").(object); len(capabilities) != 1 {
		t.Errorf("a null is left: %v", capabilities)
	}
}

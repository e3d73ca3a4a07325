// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v2"
)

// object is any YAML mapping.
type object = map[string]any

// kinds renders the chart and parses it, by kind.
func kinds(t *testing.T, version string, args ...string) map[string][]object {
	t.Helper()
	return byKind(t, render(t, version, args...))
}

func byKind(t *testing.T, out string) map[string][]object {
	t.Helper()
	found := map[string][]object{}
	for text := range strings.SplitSeq(out, "\n---\n") {
		var parsed any
		if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if o, ok := stringKeys(parsed).(object); ok {
			kind, _ := o["kind"].(string)
			found[kind] = append(found[kind], o)
		}
	}
	return found
}

// stringKeys makes of the YAML library's maps those of JSON.
func stringKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		o := object{}
		for key, value := range v {
			name, _ := key.(string)
			o[name] = stringKeys(value)
		}
		return o
	case []any:
		for i := range v {
			v[i] = stringKeys(v[i])
		}
	}
	return v
}

// at follows a path of keys; a list is followed into its first item.
func at(v any, path ...string) any {
	for _, key := range path {
		switch list := v.(type) {
		case []any:
			if len(list) == 0 {
				return nil
			}
			v = list[0]
		case []object:
			if len(list) == 0 {
				return nil
			}
			v = list[0]
		}
		o, _ := v.(object)
		v = o[key]
	}
	return v
}

// container is the exporter's container, or the guard's.
func container(t *testing.T, found map[string][]object, i int) object {
	t.Helper()
	if len(found["DaemonSet"]) <= i {
		t.Fatalf("%d DaemonSets", len(found["DaemonSet"]))
	}
	c, _ := at(found["DaemonSet"][i], "spec", "template", "spec", "containers").([]any)
	if len(c) != 1 {
		t.Fatalf("%d containers", len(c))
	}
	return c[0].(object)
}

func texts(v any) (list []string) {
	items, _ := v.([]any)
	for _, item := range items {
		text, _ := item.(string)
		list = append(list, text)
	}
	return list
}

// TestExtraArgsReplace: an argument of the values takes the place of the chart's
// own, since the programs refuse a flag that is given twice.
func TestExtraArgsReplace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.yaml")
	values := `
log: {level: warn}
extraArgs: [--log.level=error, --no-recorder, --process.top, "5", --log.level=debug, --collector.process, --recorder,
  "--web.listen-address=:1", "--web.listen-address=:2", --podman.root=/a, --podman.root=/b]
hostPID: false
web: {port: 2}
guard: {enabled: true, extraArgs: [--kill-switch=/run/off, --policy=process]}
`
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	found := kinds(t, kubernetes, "--values", file)
	want := []string{
		"--events.kmsg=require", "--no-collector.predict", "--state.file=/run/oom_exporter/state.json", "--eviction.threshold=100Mi", "--log.format=logfmt",
		"--process.top", "5", "--log.level=debug", "--collector.process", "--recorder",
		"--web.listen-address=:1", "--web.listen-address=:2", "--podman.root=/a", "--podman.root=/b",
	}
	if diff := cmp.Diff(want, texts(container(t, found, 0)["args"])); diff != "" {
		t.Errorf("arguments of the exporter (-want +got):\n%s", diff)
	}
	want = []string{"--web.listen-address=:10138", "--kills-per-minute=6", "--kubernetes-events", "--log.level=warn", "--log.format=logfmt", "--kill-switch=/run/off", "--policy=process"}
	if diff := cmp.Diff(want, texts(container(t, found, 1)["args"])); diff != "" {
		t.Errorf("arguments of the guard (-want +got):\n%s", diff)
	}
}

// TestOverrides: security contexts go over the chart's, key by key.
func TestOverrides(t *testing.T) {
	found := kinds(t, kubernetes, "--set", "podSecurityContext.runAsUser=1000,podSecurityContext.fsGroup=7,podSecurityContext.seccompProfile=null",
		"--set", "securityContext.readOnlyRootFilesystem=false,securityContext.capabilities.add={SYSLOG,DAC_READ_SEARCH},securityContext.privileged=null",
		"--set", "terminationGracePeriodSeconds=5,hostNetwork=true,updateStrategy.type=OnDelete,updateStrategy.rollingUpdate=null",
		"--set", "extraVolumes[0].name=certs,extraVolumes[0].emptyDir.sizeLimit=1Mi,extraVolumeMounts[0].name=certs,extraVolumeMounts[0].mountPath=/certs",
		"--set", "livenessProbe.httpGet.path=/x,livenessProbe.httpGet.port=1,readinessProbe=null")
	spec := at(found["DaemonSet"][0], "spec", "template", "spec")
	c := container(t, found, 0)
	got := object{
		"pod": at(spec, "securityContext"), "container": c["securityContext"], "grace": at(spec, "terminationGracePeriodSeconds"), "network": at(spec, "hostNetwork"),
		"strategy": at(found["DaemonSet"][0], "spec", "updateStrategy"), "liveness": c["livenessProbe"], "readiness": c["readinessProbe"],
	}
	want := object{
		"pod": object{"runAsNonRoot": false, "runAsUser": 1000, "runAsGroup": 0, "fsGroup": 7},
		"container": object{
			"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": false,
			"capabilities": object{"drop": []any{"ALL"}, "add": []any{"SYSLOG", "DAC_READ_SEARCH"}},
		},
		"grace": 5, "network": true, "strategy": object{"type": "OnDelete"}, "readiness": nil,
		"liveness": object{"httpGet": object{"path": "/x", "port": 1}, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	volumes, _ := at(spec, "volumes").([]any)
	mounts, _ := c["volumeMounts"].([]any)
	if at(volumes[len(volumes)-1], "name") != "certs" || at(mounts[len(mounts)-1], "mountPath") != "/certs" {
		t.Errorf("the volume is missing: %v, %v", volumes, mounts)
	}
}

// TestAppArmor: a field since Kubernetes 1.30, an annotation before.
func TestAppArmor(t *testing.T) {
	const annotation = "container.apparmor.security.beta.kubernetes.io/"
	set := []string{"--set", "appArmorProfile.type=Localhost,appArmorProfile.localhostProfile=k8s-oom,guard.enabled=true,guard.appArmorProfile.type=Unconfined"}
	now, old := render(t, kubernetes, set...), render(t, "1.29.4", set...)
	if strings.Contains(now, annotation) || strings.Count(now, "appArmorProfile:") != 2 {
		t.Errorf("with %s:\n%s", kubernetes, now)
	}
	for _, want := range []string{annotation + "oom-exporter: localhost/k8s-oom\n", annotation + "oom-guard: unconfined\n"} {
		if strings.Contains(old, "appArmorProfile") || strings.Count(old, want) != 1 {
			t.Errorf("with 1.29 %q is missing:\n%s", want, old)
		}
	}
}

// TestVirtualNodes: whatever the affinity, nodes that are no machines are left out.
func TestVirtualNodes(t *testing.T) {
	const term = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
	for set, terms := range map[string]int{
		"affinity=null": 1,
		term + "[0].matchExpressions[0].key=a," + term + "[0].matchExpressions[0].operator=Exists," + term + "[1].matchFields[0].key=b": 2,
	} {
		found := kinds(t, kubernetes, "--set", set+",guard.enabled=true")
		for i, n := range []int{terms, 1} {
			required := at(found["DaemonSet"][i], "spec", "template", "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
			list, _ := at(required, "nodeSelectorTerms").([]any)
			if len(list) != n {
				t.Errorf("--set %s: %d terms, want %d", set, len(list), n)
			}
			for _, one := range list {
				b, err := json.Marshal(at(one, "matchExpressions"))
				if text := string(b); err != nil || !strings.Contains(text, `{"key":"eks.amazonaws.com/compute-type","operator":"NotIn","values":["fargate"]}`) ||
					!strings.Contains(text, `{"key":"type","operator":"NotIn","values":["virtual-kubelet"]}`) {
					t.Errorf("--set %s: a term takes virtual nodes: %s", set, text)
				}
			}
		}
	}
}

// TestRegistry: one registry for all images, and a digest instead of a tag.
func TestRegistry(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	found := kinds(t, kubernetes, "--set", "global.imageRegistry=mirror.example,image.registry=other.example,image.repository=a/b,image.digest="+digest+",guard.enabled=true,guard.image.repository=c,guard.image.tag=v1")
	if got := container(t, found, 0)["image"]; got != "mirror.example/a/b@"+digest {
		t.Errorf("the exporter's image is %v", got)
	}
	if got := container(t, found, 1)["image"]; got != "mirror.example/c:v1" {
		t.Errorf("the guard's image is %v", got)
	}
}

// TestMonitorSettings: authorization and a bound on samples reach both monitors.
func TestMonitorSettings(t *testing.T) {
	for monitor, endpoints := range map[string]string{"podMonitor": "podMetricsEndpoints", "serviceMonitor": "endpoints"} {
		set := monitor + ".enabled=true," + monitor + ".sampleLimit=5000," + monitor + ".authorization.credentials.name=s," + monitor + ".authorization.credentials.key=k"
		found := kinds(t, kubernetes, "--set", set)
		spec := at(found[strings.ToUpper(monitor[:1])+monitor[1:]], "spec")
		if at(spec, "sampleLimit") != 5000 || at(spec, endpoints, "authorization", "credentials", "key") != "k" {
			t.Errorf("%s: %v", monitor, spec)
		}
		out, err := helm(t, "template", "x", chart, "--values", images, "--set", set+","+monitor+".basicAuth.username.name=u")
		if err == nil || !strings.Contains(out, "basicAuth and authorization exclude each other") {
			t.Errorf("%s takes both: %v\n%s", monitor, err, out)
		}
	}
}

// TestHelmTest: the test's pod asks the exporters by a service, and is none of them.
func TestHelmTest(t *testing.T) {
	args := []string{"template", "oom-exporter", chart, "--namespace", "monitoring", "--values", images, "--set", "web.port=999,networkPolicy.enabled=true,networkPolicy.from[0].ipBlock.cidr=10.0.0.0/8"}
	out, err := helm(t, args...)
	if err != nil {
		t.Fatal(out)
	}
	found := byKind(t, out)
	pod, service := at(found["Pod"], "spec"), found["Service"]
	if len(found["Pod"]) != 1 || len(service) != 1 {
		t.Fatalf("%d pods, %d services", len(found["Pod"]), len(service))
	}
	if diff := cmp.Diff([]string{"events", "--last=10", "--url=http://oom-exporter-test.monitoring.svc:999"}, texts(at(pod, "containers", "args"))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	exporters := at(found["DaemonSet"], "spec", "template", "metadata", "labels").(object)
	for key, value := range at(service, "spec", "selector").(object) {
		if exporters[key] != value {
			t.Errorf("the service selects %s=%v, the exporters have %v", key, value, exporters[key])
		}
	}
	own := at(found["Pod"], "metadata", "labels").(object)
	for _, selector := range []any{at(service, "spec", "selector"), at(found["DaemonSet"], "spec", "selector", "matchLabels")} {
		others := 0
		for key, value := range selector.(object) {
			if own[key] != value {
				others++
			}
		}
		if others == 0 {
			t.Errorf("the test's own pod is selected by %v", selector)
		}
	}
	for _, o := range []object{found["Pod"][0], service[0]} {
		if at(o, "metadata", "annotations", "helm.sh/hook") != "test" {
			t.Errorf("%v is no hook", o["kind"])
		}
	}
	from, _ := at(found["NetworkPolicy"], "spec", "ingress", "from").([]any)
	if len(from) != 2 || at(from[1], "podSelector", "matchLabels", "app.kubernetes.io/name") != own["app.kubernetes.io/name"] {
		t.Errorf("the policy keeps the test out: %v", from)
	}
	for _, set := range []string{"helmTest.enabled=false", "web.configSecret=x"} {
		if out, err := helm(t, append(args, "--set", set)...); err != nil || len(byKind(t, out)["Pod"]) != 0 {
			t.Errorf("--set %s: there is a test: %s", set, out)
		}
	}
}

// TestRefusals wants of a wrong value a sentence that names it, not an error of a template.
func TestRefusals(t *testing.T) {
	for set, want := range map[string]string{
		"metricsEnable=oom_(":                               "metricsEnable",
		"metricsDisable=[a-":                                "metricsDisable",
		"prometheusRule.config.exporterJob=*job":            "exporterJob",
		"extraArgs={top}":                                   `extraArgs: "top" is no flag; flags begin with --`,
		"guard.enabled=true,guard.extraArgs={noop,--check}": `guard.extraArgs: "noop" is no flag`,
		"appArmorProfile.type=Strict":                       "appArmorProfile",
		"appArmorProfile.type=Localhost":                    "localhostProfile",
		"terminationGracePeriodSeconds=0":                   "terminationGracePeriodSeconds",
		"podMonitor.sampleLimit=-1":                         "sampleLimit",
		"global.imageRegistry=5":                            "imageRegistry",
		"guard.image.digest=latest":                         "digest",
		"livenessProbe=tcp":                                 "livenessProbe",
		"updateStrategy.rollingUpdate.maxSurge=1":           "can't share the state file",
	} {
		out, err := helm(t, "template", "x", chart, "--kube-version", kubernetes, "--values", images, "--set", set)
		if err == nil || !strings.Contains(out, want) || strings.Contains(out, "nil pointer") {
			t.Errorf("--set %s: %v, want %q:\n%s", set, err, want, out)
		}
	}
}

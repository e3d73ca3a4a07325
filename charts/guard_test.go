// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

const guardUnit = "../docs/install/oom_guard.service"

// TestGuardUnit holds the guard's systemd unit against what it promises: it
// kills nobody unless told to, and has only the powers that a kill needs.
func TestGuardUnit(t *testing.T) {
	settings := unitSettings(t, guardUnit)
	for key, want := range map[string]string{
		"CapabilityBoundingSet": "CAP_KILL CAP_SYS_NICE CAP_SYS_RESOURCE", "NoNewPrivileges": "yes", "OOMScoreAdjust": "-999",
		"ProtectSystem": "strict", "ProtectKernelTunables": "yes", "ProtectControlGroups": "no", "Restart": "always",
	} {
		if settings[key] != want {
			t.Errorf("%s=%s, want %s", key, settings[key], want)
		}
	}
	if !strings.Contains(read(t, guardUnit), "\nEnvironment=POLICY=noop\n") || !strings.Contains(settings["ExecStart"], "--policy=${POLICY}") {
		t.Error("the policy is not noop")
	}
	// These would hide the processes that it may have to kill, or whom it may.
	for _, key := range []string{"ProtectProc", "ProcSubset", "PrivateUsers", "DynamicUser", "User", "AmbientCapabilities"} {
		if value, ok := settings[key]; ok {
			t.Errorf("%s=%s", key, value)
		}
	}
}

// TestTheGuardIsOff wants no trace of the guard unless it is asked for.
func TestTheGuardIsOff(t *testing.T) {
	for _, path := range append(glob(t, "testdata/*.yaml"), manifests) {
		if on := strings.HasSuffix(path, "/guard.yaml"); on != strings.Contains(read(t, path), "app.kubernetes.io/component: guard") {
			t.Errorf("%s: the guard is there: %v", path, !on)
		}
	}
}

// TestReleasesOfOneName has two releases of the same name in two namespaces: what has no
// namespace must not be of both, or the second can't be installed.
func TestReleasesOfOneName(t *testing.T) {
	names := map[string]string{}
	for _, namespace := range []string{"one", "two"} {
		out, err := helm(t, "template", "oom-exporter", chart, "--namespace", namespace, "--values", images, "--values", chart+"/ci/guard-values.yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for text := range strings.SplitSeq(out, "\n---\n") {
			var o struct {
				Kind     string
				Metadata struct{ Name, Namespace string }
			}
			if err := yaml.Unmarshal([]byte(text), &o); err != nil {
				t.Fatal(err)
			}
			if o.Metadata.Namespace != "" || !strings.HasPrefix(o.Kind, "Cluster") {
				continue
			}
			if other := names[o.Kind+o.Metadata.Name]; other != "" && other != namespace {
				t.Errorf("%s %s is of %s and of %s", o.Kind, o.Metadata.Name, other, namespace)
			}
			names[o.Kind+o.Metadata.Name] = namespace
		}
	}
	if len(names) == 0 {
		t.Error("nothing without a namespace was rendered")
	}
}

// TestTheGuardsRights holds the guard against what the README promises.
func TestTheGuardsRights(t *testing.T) {
	found := map[string]int{}
	for _, text := range objects(t, "testdata/guard.yaml") {
		if !strings.Contains(text, "app.kubernetes.io/component: guard") {
			continue
		}
		var d daemonSet
		if err := yaml.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		found[d.Kind]++
		switch d.Kind {
		case "DaemonSet":
			guardPod(t, &d)
		case "NetworkPolicy":
			guardPolicy(t, text)
		case "ClusterRole":
			var role struct {
				Rules []struct {
					APIGroups, Resources, Verbs []string
				}
			}
			if err := yaml.Unmarshal([]byte(text), &role); err != nil {
				t.Fatal(err)
			}
			if len(role.Rules) != 1 || !slices.Equal(role.Rules[0].Resources, []string{"events"}) || !slices.Equal(role.Rules[0].Verbs, []string{"create", "patch"}) {
				t.Errorf("rules = %+v, want no more than to create and patch events", role.Rules)
			}
		}
	}
	for _, kind := range []string{"DaemonSet", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "PodMonitor", "NetworkPolicy"} {
		if found[kind] != 1 {
			t.Errorf("%d of kind %s, want 1", found[kind], kind)
		}
	}
}

// guardPolicy wants a way in to the metrics, and one out to the API server only.
func guardPolicy(t *testing.T, text string) {
	t.Helper()
	type ways []struct {
		Ports []struct{ Port string }
	}
	var policy struct {
		Spec struct {
			PodSelector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			} `yaml:"podSelector"`
			PolicyTypes     []string `yaml:"policyTypes"`
			Ingress, Egress ways
		}
	}
	if err := yaml.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	s := policy.Spec
	if !slices.Equal(s.PolicyTypes, []string{"Ingress", "Egress"}) || s.PodSelector.MatchLabels["app.kubernetes.io/name"] != "oom-exporter-guard" {
		t.Errorf("types %v of pods %v", s.PolicyTypes, s.PodSelector.MatchLabels)
	}
	if got := fmt.Sprint(s.Ingress, s.Egress); got != "[{[{metrics}]}] [{[{443} {6443}]}]" {
		t.Errorf("ways in and out: %s", got)
	}
}

func guardPod(t *testing.T, d *daemonSet) {
	t.Helper()
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	s := c.SecurityContext
	if !isFalse(s.Privileged) || !isFalse(s.AllowPrivilegeEscalation) || !isTrue(s.ReadOnlyRootFilesystem) {
		t.Errorf("security context %+v", s)
	}
	if !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) || !slices.Equal(s.Capabilities.Add, []string{"KILL", "SYS_NICE"}) {
		t.Errorf("capabilities %+v", s.Capabilities)
	}
	if pod.HostNetwork != nil || pod.HostIPC != nil || !pod.HostPID {
		t.Errorf("hostNetwork %v, hostIPC %v, hostPID %v", pod.HostNetwork, pod.HostIPC, pod.HostPID)
	}
	for _, m := range c.VolumeMounts {
		if !m.ReadOnly && m.Name != "cgroup" {
			t.Errorf("%s is writable", m.MountPath)
		}
	}
	for _, want := range []string{"--policy=container", "--kubernetes-events", "--kill-switch=/run/oom_guard/off", "--kills-per-minute=6", "--cri.socket=/run/containerd/containerd.sock"} {
		if !slices.Contains(c.Args, want) {
			t.Errorf("no argument %s", want)
		}
	}
}

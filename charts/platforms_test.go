// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

const platformsPage = "../docs/install/platforms.md"

// scc is the SecurityContextConstraints of the page.
func scc(t *testing.T) object {
	t.Helper()
	_, text, _ := strings.Cut(read(t, platformsPage), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	var parsed any
	if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	o, _ := stringKeys(parsed).(object)
	if o["kind"] != "SecurityContextConstraints" {
		t.Fatalf("the page has no SCC: %v", parsed)
	}
	return o
}

// TestOpenShift: the page's SCC allows the pod what it asks for, and no more.
func TestOpenShift(t *testing.T) {
	c := scc(t)
	found := kinds(t, kubernetes, "--set", "seLinuxOptions.type=spc_t")
	pod := at(found["DaemonSet"], "spec", "template", "spec").(object)
	security := container(t, found, 0)["securityContext"]
	for field, want := range map[string]any{
		"allowHostPID": pod["hostPID"], "allowHostNetwork": pod["hostNetwork"] == true, "allowHostIPC": pod["hostIPC"] == true, "allowHostPorts": false,
		"allowPrivilegedContainer": at(security, "privileged"), "allowPrivilegeEscalation": at(security, "allowPrivilegeEscalation"),
		"readOnlyRootFilesystem": at(security, "readOnlyRootFilesystem"), "allowHostDirVolumePlugin": true,
	} {
		if c[field] != want {
			t.Errorf("%s: %v, want %v", field, c[field], want)
		}
	}
	if allowed, asked := texts(c["allowedCapabilities"]), texts(at(security, "capabilities", "add")); !slices.Equal(allowed, asked) {
		t.Errorf("capabilities %v, want %v", allowed, asked)
	}
	if dropped := texts(c["requiredDropCapabilities"]); !slices.Equal(dropped, texts(at(security, "capabilities", "drop"))) {
		t.Errorf("%v are to be dropped", dropped)
	}
	if !slices.Equal(texts(c["seccompProfiles"]), []string{"runtime/default"}) || at(pod, "securityContext", "seccompProfile", "type") != "RuntimeDefault" {
		t.Errorf("seccomp %v", c["seccompProfiles"])
	}
	allowed := texts(c["volumes"])
	volumes, _ := pod["volumes"].([]any)
	for _, v := range volumes {
		for kind := range v.(object) {
			if kind != "name" && !slices.Contains(allowed, kind) {
				t.Errorf("the volume %v is not allowed", v)
			}
		}
	}
	if users := texts(c["users"]); !slices.Equal(users, []string{"system:serviceaccount:oom-exporter:" + pod["serviceAccountName"].(string)}) {
		t.Errorf("users %v", users)
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// checkPodSecurity asks the API server what the levels of Pod Security refuse of
// the chart, as docs/install/platforms.md says.
func (n *node) checkPodSecurity(t *testing.T, helm string) {
	const levels = "e2e-levels"
	n.mustKubectl(t, "create", "namespace", levels)
	least := []string{"--skip-tests", "--set", "unprivileged=true,hostPID=false,names.containerLogs=false,names.podLogs=false"}
	for _, c := range []struct {
		name, level string
		args        []string
		violates    []string
	}{
		{"default", "privileged", []string{"--skip-tests"}, nil},
		{"default", "baseline", []string{"--skip-tests"}, []string{"hostPID=true", "hostPath volumes", "SYSLOG"}},
		{"default", "restricted", []string{"--skip-tests"}, []string{"hostPID=true", `volume type "hostPath"`, "SYSLOG", "runAsNonRoot", "runAsUser=0"}},
		{"least", "privileged", least, nil},
		{"least", "baseline", least, []string{`hostPath volumes (volume "cgroup")`}},
		{"least", "restricted", least, []string{`volume types (volume "cgroup" uses restricted volume type "hostPath")`}},
		{"helm test", "restricted", []string{"--show-only", "templates/tests/exporter.yaml"}, nil},
	} {
		args := append([]string{"template", release, filepath.Join(lab.Repository(t), "charts", "oom-exporter"), "--namespace", levels, "--set", "image.repository=" + imageName}, c.args...)
		objects, err := n.client(helm, args...).Output()
		if err != nil {
			t.Fatalf("helm %v: %v", args, err)
		}
		n.mustKubectl(t, "label", "--overwrite", "namespace", levels, "pod-security.kubernetes.io/warn="+c.level)
		out := n.mustKubectl(t, "apply", "--dry-run=server", "-f", n.write(t, "pods/levels.yaml", string(objects)))
		_, warning, violated := strings.Cut(out, "would violate PodSecurity")
		if violated != (len(c.violates) > 0) {
			t.Errorf("%s at level %s: %s", c.name, c.level, out)
		}
		for _, want := range c.violates {
			if !strings.Contains(warning, want) {
				t.Errorf("%s at level %s: %s\nwant %s", c.name, c.level, warning, want)
			}
		}
		if c.name == "least" && strings.Contains(warning, "hostPID") || c.level == "baseline" && strings.Contains(warning, "runAsUser") {
			t.Errorf("%s at level %s: more is refused than the page says: %s", c.name, c.level, warning)
		}
	}
	n.mustKubectl(t, "delete", "namespace", levels, "--wait=false")
}

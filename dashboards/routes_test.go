// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestRoutes asks Alertmanager's own tool where the shipped routes send what: a
// page for what cannot wait, a chat for the rest.
func TestRoutes(t *testing.T) {
	path, err := exec.LookPath("amtool")
	if err != nil {
		t.Skip("amtool is not on PATH (Debian: prometheus-alertmanager)")
	}
	labels := map[string]map[string]string{}
	for _, a := range alerts(t) {
		labels[a.Alert] = a.Labels
	}
	for _, c := range []struct{ alert, namespace, want string }{
		{"OOMContainerKilled", "shop", "chat"},
		{"OOMContainerNearLimit", "shop", "chat"},
		{"OOMContainerWillReachLimit", "shop", "chat"},
		{"OOMContainerGrowing", "shop", "nobody"},
		{"OOMKillLoop", "shop", "page"},
		{"OOMKillLoop", "shop-dev", "chat"},
		{"OOMKillLoop", "sandbox", "chat"},
		{"OOMKillLoop", "", "page"},
		{"OOMContainerHung", "shop", "page"},
		{"OOMNodeKill", "", "page"},
		{"OOMNodeNearLimit", "", "page"},
		{"OOMKillStorm", "", "page"},
		{"OOMExporterAbsent", "", "page"},
		{"OOMExporterDown", "", "chat"},
		{"OOMExporterRolloutStuck", "monitoring", "chat"},
		{"OOMKillsUnattributed", "", "nobody"},
	} {
		args := []string{"config", "routes", "test", "--config.file=alertmanager.yaml", "alertname=" + c.alert}
		for name, value := range labels[c.alert] {
			args = append(args, name+"="+value)
		}
		if c.namespace != "" {
			args = append(args, "namespace="+c.namespace)
		}
		out, err := exec.Command(path, args...).Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s of namespace %q goes to %s, want %s (%v)", c.alert, c.namespace, got, c.want, err)
		}
	}
}

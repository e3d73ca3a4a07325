// SPDX-License-Identifier: Apache-2.0

//go:build e2e && full

package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestSystemd installs the package by the page's words where systemd is the
// first process, lets the kernel kill in a service, upgrades and removes the
// package. It boots a virtual machine, so that only make e2e-full has it.
func TestSystemd(t *testing.T) {
	files := map[string]string{}
	dir := t.TempDir()
	for name, command := range map[string]string{
		"install": words(t, "docs/install/README.md", "dpkg --install"),
		"enable":  words(t, "docs/install/README.md", "systemctl enable"),
		"curl":    words(t, "docs/install/README.md", "curl -s localhost:10137/metrics"),
		"restart": words(t, "docs/install/upgrades.md", "systemctl restart"),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("set -eu\ncd /oom/checkout\n"+command+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		files["/oom/page/"+name] = path
	}
	pkg := file(t, "*.deb")
	files["/oom/checkout/dist/"+filepath.Base(pkg)] = pkg
	script, err := os.ReadFile("testdata/systemd.sh")
	if err != nil {
		t.Fatal(err)
	}
	vm := guest.Run(t, guest.Options{
		MemoryMB: 768, Timeout: 6 * time.Minute, Script: string(script), Files: files,
		Packages: []string{"systemd", "mount", "dash", "dpkg", "tar", "coreutils", "diffutils", "libc-bin", "curl"},
	})
	vm.Await(t, "systemd")
	vm.Await(t, "installed")
	unit := []string{"namespace", "", "pod", "", "container", "memhog.service"}
	var m lab.Metrics
	killed := func(n float64) {
		t.Helper()
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		lab.Eventually(t, 3*time.Minute, "the kills in a service are counted", func() bool {
			<-tick.C
			m = lab.Scrape(t, vm.URL())
			return m.Sum("oom_container_kills_total", unit...) == n
		})
	}
	killed(1)
	if up := m.Value(t, "oom_event_source_up", "source", "kmsg"); up != 1 {
		t.Error("the unit keeps the kernel's log from the exporter")
	}
	vm.Tell(t, "upgrade")
	vm.Await(t, "upgraded")
	killed(2)
	vm.Tell(t, "purge")
	vm.Wait(t)
	for name, want := range map[string]string{
		"active-before": "inactive", "active-installed": "active", "active-upgraded": "active", "active-restarted": "active", "active-removed": "inactive",
		"enabled": "enabled", "left": "",
	} {
		if got := strings.TrimSpace(vm.File(t, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if before, after := vm.File(t, "pid-installed"), vm.File(t, "pid-upgraded"); before == after {
		t.Errorf("the upgrade did not restart the service: pid %s", before)
	}
	status := vm.File(t, "process")
	for _, want := range []string{"CapEff:\t0000000400000000", "CapBnd:\t0000000400000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("the service lacks %s:\n%s", want, status)
		}
	}
	if strings.Contains(status, "Uid:\t0\t") {
		t.Errorf("the service runs as root:\n%s", status)
	}
	if out := vm.File(t, "curl"); !strings.Contains(out, "\noom_node_kill_margin_bytes ") {
		t.Errorf("the page's curl says %s", out)
	}
}

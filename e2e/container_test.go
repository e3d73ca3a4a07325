// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestContainer runs the exporter as an unprivileged user in a container that
// sees the host's /proc and cgroups read-only from its own cgroup namespace,
// where /proc/PID/cgroup would name the wrong groups.
func TestContainer(t *testing.T) {
	lab.Root(t)
	rootfs := t.TempDir()
	b, err := os.ReadFile(lab.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rootfs, "oom_exporter"), b, 0o755); err != nil {
		t.Fatal(err)
	}
	e := lab.StartContainer(t, lab.Container{Rootfs: rootfs, Args: []string{"/oom_exporter"}, UID: 65534})
	checkFromContainer(t, e)
}

func checkFromContainer(t *testing.T, e *lab.Exporter) {
	t.Helper()
	g := lab.NewGroup(t, "container/one", 64*mib)
	hog := lab.StartHog(t, g, "adj:1000", "anon:20M", "stop")
	hog.WaitStopped(t)
	m, mem := scrapeStill(t, e, g)
	checkMemory(t, m, g.Path, mem)
	labels := append(workload(g.Path), "pid", strconv.Itoa(hog.PID))
	within(t, "resident", uint64(m.Value(t, "oom_process_resident_bytes", labels...)), 20*mib, 22*mib)
}

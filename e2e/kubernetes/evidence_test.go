// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const head = `# Kills on a real Kubernetes node: the exporter, the kernel, kubelet

A node with the whole of Kubernetes runs the exporter as the chart's DaemonSet and pods of all kinds whose processes run into limits.
*exporter* is ` + "`oom_container_kills_total`" + ` under namespace, pod and container; *survived* is ` + "`oom_container_survived_kills_total`" + `;
*no rights* is an exporter on the host as a user without any right, which has the names of kubelet's log directories and the counters of living
groups, but not the kernel's log: on cgroup v1 a counter dies with its container. *kernel* is the "Killed process" lines of its log with the
victim's own comm, checked against /proc/vmstat in all, and against the group's own counter where the container lives on. *kubelet* is its
` + "`container_oom_events_total`" + `, *pod status* what the API server says; both were read when all kills had happened.

Written by ` + "`go test -tags e2e ./e2e/kubernetes`" + ` with OOM_E2E_EVIDENCE set.

`

// results is what was seen of the victims.
type results struct {
	log              *lab.KernelLog
	statuses         map[victim]status
	exporter, nobody lab.Metrics
}

// write writes the table where the environment says so.
func (r results) write(t *testing.T, runtime string) {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(head)
	fmt.Fprintf(&b, "Linux %s, cgroup v%d, Kubernetes %s (cgroupfs driver), %s, %s.\n\n", unix.ByteSliceToString(u.Release[:]),
		lab.MemoryHierarchy(t).Version, version, runtime, time.Now().UTC().Format(time.DateOnly))
	b.WriteString("| pod | container | exporter | kernel | survived | no rights | kubelet | pod status |\n|---|---|---|---|---|---|---|---|\n")
	for _, v := range victims {
		survived := r.exporter.Sum("oom_container_survived_kills_total", v.labels()...)
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %.0f | %d | %s | %s |\n", v.pod, v.container, v.counted(r.exporter), r.log.Kills(t, v.process()),
			survived, v.counted(r.nobody), r.statuses[v].oomEvents, r.statuses[v].text)
	}
	b.WriteString("\nBy whose limit it was, with what else was killed on this host:")
	for _, level := range []string{"container", "pod", "slice", "node", "numa", "unknown"} {
		fmt.Fprintf(&b, " %s %.0f", level, r.exporter.Sum("oom_kills_total", "level", level))
	}
	fmt.Fprintf(&b, ". Without a name: %.0f, without rights %.0f.\n",
		r.exporter.Sum("oom_unattributed_kills_total"), r.nobody.Sum("oom_unattributed_kills_total"))
	t.Log(b.String())
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" || t.Failed() {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "kubernetes.md"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

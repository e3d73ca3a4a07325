// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package hostile_test

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

// evidence writes the table. What the exporter did before is what version 0.1 was
// seen to do under each attack alone.
func (s *stage) evidence(t *testing.T, m lab.Metrics, exact, kills, failed, scrapes int) {
	t.Helper()
	count := func(kind string) float64 { return m.Sum("oom_exporter_skipped_total", "kind", kind) }
	series := 0
	for _, family := range m {
		series += len(family.Metric)
	}
	crowd := len(m.Find("oom_container_memory_usage_bytes", "namespace", "", "pod", ""))
	rows := [][3]string{
		{
			fmt.Sprintf("%d cgroups in one container, --limits.groups=%d", s.bomb, s.groups),
			"none of 100 honest containers visible, no alert",
			fmt.Sprintf("%d of %d visible in every scrape; %.0f cgroups counted as left out, alert OOMExporterLeavesOut", tenants, tenants, count("group_over_limit")),
		},
		{
			fmt.Sprintf("%d workloads with names of 200 bytes of one user", s.rows),
			"115,299 series, 36 MB a scrape",
			fmt.Sprintf("%d series in all, %d workloads without a pod on the whole host; %.0f counted as folded", series, crowd, count("workload_folded")),
		},
		{
			"reports forged by a mount option, 50 a second, read by syslog(2), while cgroups are removed right after a kill",
			"another container got the kill, with the forged pid and comm",
			"no record of it; the container that they name has no kill",
		},
		{
			fmt.Sprintf("%d kills, %d a second, a fifth of them in containers that are gone at once", kills, s.kills),
			"the evicted fell by 2 over a kill -9",
			fmt.Sprintf("%d of %d containers exact; no counter fell", exact, tenants),
		},
		{
			fmt.Sprintf("kill -9 of the exporter every %v, %d clients at any time that do not read", s.restart, slowClients),
			"-",
			fmt.Sprintf("%d of %d scrapes by Prometheus failed, none outside the %d restarts", failed, scrapes, len(s.restarts)),
		},
		{
			"memory under all of it",
			"-",
			fmt.Sprintf("peak RSS %d MiB, %d MiB before the attacks", s.peak/mib, s.calm/mib),
		},
	}
	var b strings.Builder
	b.WriteString("| attack | before | after |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r[:], " | "))
	}
	t.Log("\n" + b.String())
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" || t.Failed() {
		return
	}
	var u unix.Utsname
	must(t, unix.Uname(&u))
	text := "# Under attack\n\n" +
		"What tenants of a node and clients on its network can do to the exporter, all of it at once for " + s.lasts.String() + ", while a Prometheus scrapes\n" +
		"it every 5 s. The exporter runs as in an unprivileged container: as nobody, with the kernel's log by syslog(2). *before* is what each attack did\n" +
		"alone to the exporter as it was before there were bounds against it.\n\n" +
		"Written by `go test -tags e2e -run TestHostile ./e2e/hostile` with OOM_E2E_EVIDENCE set.\n\n" +
		fmt.Sprintf("Linux %s, cgroup v%d, %s.\n\n", unix.ByteSliceToString(u.Release[:]), s.Version, time.Now().UTC().Format(time.DateOnly)) + b.String()
	must(t, os.WriteFile(filepath.Join(dir, "hostile.md"), []byte(text), 0o644))
}

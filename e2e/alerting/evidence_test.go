// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// evidence writes the table, where OOM_E2E_EVIDENCE is set.
func evidence(t *testing.T, delay, end, lead time.Duration, cachePages int, q queryResult) {
	text := fmt.Sprintf(`# From the kill to the page

The shipped rules and Alertmanager's shipped routes, on a real Prometheus and a real Alertmanager: scrapes and rules every %v, group_wait %v.
Limits are %d MiB. The leak takes 64 KiB a second. The cache is a mapped file that fills a group of %d MiB.
Prometheus scrapes as the chart's monitors tell prometheus-operator; meanwhile the exporter's pod is replaced by one with another name and address,
and oom_guard acts in a fourth container.

Written by `+"`go test -tags e2e ./e2e/alerting`"+` with OOM_E2E_FULL and OOM_E2E_EVIDENCE set.

Linux %s, %s.

| what | |
|---|---|
| from the kill to the page | %.1f s |
| from the kill to the end of the page | %.0f s |
| from the page to the kill of the leak | %.0f s |
| pages of the container that is full of page cache | %d |
| queries of dashboards and rules tried | %d |
| of them with something to show | %d |
| alerts that rightly do not fire | %d |
| nothing to show on this host for a known reason | %d |
| the slowest query | %.3f s |

Nothing to show:
%s`, interval, groupWait, limit/mib, limit/mib, release(t), time.Now().UTC().Format("2006-01-02"),
		delay.Seconds(), end.Seconds(), lead.Seconds(), cachePages, q.tried, q.full, q.alerts, len(q.empty), q.slowest.Seconds(), reasons(q.empty))
	t.Log(text)
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" || end == 0 {
		return
	}
	path := filepath.Join(dir, "alerting.md")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// reasons lists each reason with what it excuses.
func reasons(empty map[string]string) string {
	var b strings.Builder
	for _, where := range slices.Sorted(maps.Keys(empty)) {
		fmt.Fprintf(&b, "- %s: %s\n", where, empty[where])
	}
	return b.String()
}

func release(t *testing.T) string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(u.Release[:])
}

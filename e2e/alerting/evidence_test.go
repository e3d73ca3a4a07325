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
func evidence(t *testing.T, delay, down, missed, end, lead time.Duration, cachePages int, q queryResult) {
	ended := "not measured (OOM_E2E_FULL)"
	if end > 0 {
		ended = fmt.Sprintf("%.0f s", end.Seconds())
	}
	lookBack := "look back one minute instead of five"
	if full() {
		lookBack = "look back as far as the shipped ones"
	}
	text := fmt.Sprintf(`# From the kill to the notification

The shipped rules and Alertmanager's shipped routes and times, on a real Prometheus and a real Alertmanager: scrapes and rules every %v, group_wait %v.
Where a rule waits for a minute, it waits for 20 s here. A second Prometheus, whose rules %s, is down for %v during a kill, scrapes
without honor_labels, and hears from kube-state-metrics of a node without an exporter: each is told of, with the right names.
Limits are %d MiB. The leak takes 64 KiB a second. The cache is a mapped file that fills a group of %d MiB.
Prometheus scrapes as the chart's monitors tell prometheus-operator; meanwhile the exporter's pod is replaced by one with another name and address,
and oom_guard acts in a fourth container. A kill and a limit that is near go to the chat.

Written by `+"`go test -tags e2e ./e2e/alerting`"+` with OOM_E2E_EVIDENCE set.

Linux %s, %s.

| what | |
|---|---|
| from the kill to the notification | %.1f s |
| from the return of a Prometheus that was down to the notification of a kill meanwhile | %.1f s |
| from the kill to the end of the alert | %s |
| from the notification that its limit is near to the kill of the leak | %.0f s |
| notifications about the container that is full of page cache | %d |
| queries of dashboards and rules tried | %d |
| of them with something to show | %d |
| alerts that rightly do not fire | %d |
| nothing to show on this host for a known reason | %d |
| the slowest query | %.3f s |

Nothing to show:
%s`, interval, groupWait, lookBack, down.Round(time.Second), limit/mib, limit/mib, release(t), time.Now().UTC().Format("2006-01-02"),
		delay.Seconds(), missed.Seconds(), ended, lead.Seconds(), cachePages, q.tried, q.full, q.alerts, len(q.empty), q.slowest.Seconds(), reasons(q.empty))
	t.Log(text)
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" {
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

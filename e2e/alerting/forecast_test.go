// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestLeakWithTeeth tells of a leak below saw teeth before the kernel kills, with
// the shipped forecasts in a sixtieth of their time: an hour is a minute.
func TestLeakWithTeeth(t *testing.T) {
	if !full() {
		t.Skip("takes five minutes: set OOM_E2E_FULL")
	}
	lab.Root(t)
	rootfs := t.TempDir()
	lab.NewGroup(t, "kubepods", 16*limit)
	toothed := container("toothed")
	toothed.podLimit, toothed.limit = 4*limit, 2*limit
	group := toothed.group(t, "kubepods", rootfs)
	guarded := container("guarded")
	guarded.group(t, "kubepods", rootfs)
	s := start(t, rootfs, namespace)
	rules := inLessTime(t, filepath.Join(s.dir, "minutes"),
		"[15m]", "[15s]", "[1h]", "[1m]", "[2h]", "[2m]", "[1d:15m]", "[24m:15s]", "[6h:15m]", "[6m:15s]",
		"offset 90m", "offset 90s", "offset 1h", "offset 1m", "offset 2h", "offset 2m", "offset 3h", "offset 3m", "offset 6h", "offset 6m",
		"3600 *", "60 *", "10800 *", "180 *", "* 3600", "* 60", "/ 3600", "/ 60", "for: 15m", "for: 15s", "for: 45m", "for: 45s", "for: 1m", "for: 20s")
	minutes := startPrometheus(t, s.dir, "minutes", map[string]any{
		"rule_files": []string{rules}, "alerting": s.alerting,
		"scrape_configs": []any{scrapeConfig(rendered(t, "monitoring", "PodMonitor", "oom-exporter"), filepath.Join(s.dir, "exporter.json"))},
	})
	lab.Eventually(t, time.Minute, "Prometheus has scraped the container", func() bool {
		return minutes.one(t, `oom_container_kills_total{container="toothed"}`) == "0"
	})
	// Teeth of 4 MiB every five seconds, and 250 KiB a second below them: two hours,
	// here minutes, to the limit after two and a half minutes, and the kill after
	// four and a half.
	lab.StartHog(t, group, "fork:200", "rate:1M", "anon:4M", "exit:0")
	leak := lab.StartHog(t, group, "anon:60M", "rate:250K", "anon:96M")
	// The forecast takes two minutes of growth at least, and group_wait is not a
	// sixtieth of the shipped one.
	var warned page
	lab.Eventually(t, 5*time.Minute, "the leak is told of", func() (told bool) {
		warned, told = s.pages.find("firing", "OOMContainerWillReachLimit", "toothed")
		return told
	})
	t.Log(warned.text)
	if leak.Ended() {
		t.Error("the leak was killed before it was told of")
	}
	if !strings.Contains(warned.text, "will reach its memory limit within about") || warned.to != "chat" {
		t.Errorf("told %q of %s", warned.to, warned.text)
	}
	leak.Wait(t, 3*time.Minute)
	leakEvidence(t, s.lastKill(t, "toothed").Sub(warned.at), warned.text)
}

// leakEvidence writes how long before the kill the leak was told of, where
// OOM_E2E_EVIDENCE is set.
func leakEvidence(t *testing.T, lead time.Duration, text string) {
	page := fmt.Sprintf(`# From a leak below saw teeth to the notification

The whole chain (exporter, Prometheus, Alertmanager with the shipped routes and times), with the shipped forecasts in a sixtieth of their time: an hour is
a minute here, but group_wait is the shipped one, %v. The limit is %d MiB; teeth of 4 MiB every five seconds stand on a leak of 250 KiB a second.

Written by `+"`OOM_E2E_FULL=1 go test -tags e2e -run TestLeakWithTeeth ./e2e/alerting`"+` with OOM_E2E_EVIDENCE set.

Linux %s, %s.

| what | |
|---|---|
| from the notification to the kill | %.0f s: %.1f h in the shipped times |
| what it said | %s |
`, groupWait, 2*limit/mib, release(t), time.Now().UTC().Format("2006-01-02"), lead.Seconds(), lead.Minutes(), text)
	t.Log(page)
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" {
		put(t, filepath.Join(dir, "alerting-leak.md"), page)
	}
}

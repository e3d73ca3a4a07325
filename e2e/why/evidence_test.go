// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package why

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

func plainClient() *http.Client { return &http.Client{Timeout: 10 * time.Second} }

// full tells whether there is time for what CI leaves out.
func full() bool { return os.Getenv("OOM_E2E_FULL") != "" }

func inGuest() bool { return os.Getenv("OOM_E2E_GUEST") != "" }

// seed is that of this run.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("OOM_E2E_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatalf("OOM_E2E_SEED=%s: %v", text, err)
		}
	}
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", n, n)
	return n
}

func kernelRelease() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(text))
}

// tell logs the verdicts that are not right.
func tell(t *testing.T, batch []workload) {
	t.Helper()
	for i := range batch {
		w := &batch[i]
		if len(w.got.Kills) != 1 {
			t.Errorf("%s, a %s: no kill was recorded", w.path, w.cause)
			continue
		}
		if v := w.got.Kills[0].Verdict; v.Cause != w.cause {
			t.Logf("%s was a %s, said %s: %s", w.path, w.cause, v.Cause, v.Sentence)
		}
	}
}

// scores are how many verdicts of n are right, how many are wrong and not only
// unknown, and how many say rightly what grew.
type scores struct{ n, right, wrong, grew int }

func score(all []workload) scores {
	s := scores{n: len(all)}
	for i := range all {
		w := &all[i]
		if len(w.got.Kills) != 1 {
			continue
		}
		switch v := w.got.Kills[0].Verdict; {
		case v.Cause == w.cause:
			s.right++
		case v.Cause != "unknown":
			s.wrong++
		}
		if w.got.Kills[0].Verdict.Grew == w.grew {
			s.grew++
		}
	}
	return s
}

// held tells whether there are any, nine of ten are right, and no more than one of
// fifty is wrong.
func held(s scores) bool { return s.n > 0 && s.wrong*50 <= s.n && s.right*10 >= s.n*9 }

// judge holds the verdicts against the truth, and writes them down.
func judge(t *testing.T, e *lab.Exporter, all []workload, seed uint64) {
	t.Helper()
	s, version := score(all), lab.MemoryHierarchy(t).Version
	if !held(s) {
		t.Errorf("%d of %d right, %d wrong", s.right, s.n, s.wrong)
	}
	var rows strings.Builder
	for i := range all {
		w := &all[i]
		if len(w.got.Kills) != 1 {
			continue
		}
		k := w.got.Kills[0]
		gap := "-"
		if k.Series != nil {
			gap = fmt.Sprintf("%.2f", k.Series.Gap)
		}
		v := k.Verdict
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s | %s | %s |\n", w.cause, v.Cause, v.Confidence, w.grew, v.Grew, gap, strings.ReplaceAll(v.Sentence, "|", "\\|"))
	}
	page := fmt.Sprintf(`# Verdicts on real kills

Each row is a container that the kernel killed in for a known reason, and what the exporter said of it: %d of %d right, %d wrong, what grew right in %d.
Gap is the time from the last sample to the kill, in seconds.

Written by `+"`go test -tags e2e ./e2e/why`"+` with OOM_E2E_EVIDENCE set, %s, Linux %s, cgroup v%d, seed %d.

| truth | verdict | confidence | grew | said | gap | sentence |
|---|---|---|---|---|---|---|
%s`, s.right, s.n, s.wrong, s.grew, time.Now().UTC().Format(time.DateOnly), kernelRelease(), version, seed, rows.String())
	t.Log("\n" + page)
	counted(t, e, all)
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("why-v%d.md", version)), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// counted holds the causes against the kills: each workload has as many.
func counted(t *testing.T, e *lab.Exporter, all []workload) {
	t.Helper()
	m := e.Scrape(t)
	for i := range all {
		w := &all[i]
		kills, causes := m.Sum("oom_container_kills_total", "container", w.path), m.Sum("oom_container_kill_causes_total", "container", w.path)
		if kills == 0 || kills != causes {
			t.Errorf("%s: %v kills and %v causes", w.path, kills, causes)
		}
		if n := m.Sum("oom_container_last_kill_cause_info", "container", w.path); n != 1 {
			t.Errorf("%s: %v last causes, want 1", w.path, n)
		}
	}
}

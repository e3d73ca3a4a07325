// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package timeline

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// evidence writes the table, where OOM_E2E_EVIDENCE names a directory.
func evidence(t *testing.T, file, cgroup, kernel string, runs []run) {
	var b strings.Builder
	fmt.Fprintf(&b, `# Margins over time

Each workload runs in a group with a limit and is scraped without pause until the kernel kills it, or for as long as it runs; what is killed
on the host takes 1 MiB between two scrapes. At a kill the
kill margin has to be below 2 %% of the limit or 2 MiB; without one it must not fall below 10 %%. Beside it is what everybody computes by
hand and alerts on: limit - working set.

Written by `+"`go test -tags e2e ./e2e/timeline`"+` with OOM_E2E_EVIDENCE set.

Linux %s, %s, %s. Sizes in MiB.

| workload | limit | killed | kill margin at the kill | its lowest | limit - working set at the kill | its lowest | scrapes |
|---|---|---|---|---|---|---|---|
`, kernel, cgroup, time.Now().UTC().Format("2006-01-02"))
	for _, r := range runs {
		what := r.name
		if r.pod {
			what += " (the limit is the pod's)"
		}
		at := func(v float64) string {
			if !r.killed {
				return "-"
			}
			return size(v)
		}
		killed := "no"
		if r.killed {
			killed = "yes"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s | %s | %d |\n", what, r.scenario.limit/mib, killed,
			at(r.last.kill), size(r.low.kill), at(r.last.limit), size(r.low.limit), r.samples)
	}
	t.Log(b.String())
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func size(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	return fmt.Sprintf("%.1f", v/mib)
}

func release(t *testing.T) string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(u.Release[:])
}

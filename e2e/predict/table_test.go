// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// titles of the tables, each with what it shows.
var titles = map[string]string{
	"prediction": "# Who is killed: predicted and real\n\nRandom groups of processes run into a limit; the prediction is taken just before. " +
		"Sizes are log-uniform from 1 MiB to half of the limit, oom_score_adj is 0 for half of the processes and uniform for the others. " +
		"A lead is clear when it is more than what the kernel's per-CPU counters may be off by and what is still left to grow. " +
		"Processes are named A, B, C in the order in which they were started; left and lead are in pages.\n\n" +
		"Written by `go test -tags e2e -run TestPrediction ./e2e/predict` with OOM_E2E_EVIDENCE set.\n\n",
	"margin": "# How far: the kill margin and what could really be allocated\n\nRandom mixes of memory that reclaim cannot free (20 to 80 % of the limit: " +
		"anonymous, shmem, mlocked) and page cache (clean and dirty) in a group with a limit. The margin is read at a random moment; " +
		"then a process takes anonymous memory until the kernel kills. The error may be 3 % of the limit or 2 MiB.\n\n" +
		"Written by `go test -tags e2e -run TestMargin ./e2e/predict` with OOM_E2E_EVIDENCE set.\n\n",
	"margin-fuzz": "# The kill margin while anything at all takes memory\n\nA container takes random mixes of up to four kinds of memory, in steps of 0.5 to 2 % of the limit, " +
		"with a scrape of the exporter after each; when less than 10 % is left, or after the last step, it takes anonymous memory in steps of 1 % until the kernel kills. " +
		"The limit is its own or its parent's, where a sibling has page cache, protected or not; some limits are lowered on the way. " +
		"A case holds if less than 10 % was left by the last scrape before the kill, and if after the first such scrape no more than that was to be had, give or take 4 % or 1 MiB and its transparent huge pages, of which reclaim drops what is zero.\n\n" +
		"write: dirty pages; sync: clean ones; read: active ones; map: a mapped file; tables: page tables; files, names, kibs, links: small files in tmpfs, empty, with long names, of 1 KiB, hard links with long names; dentries: of files that are not there (v2). " +
		"lowest is the margin when the steps ended, last that of the last scrape, then taken what was taken after the first scrape below 10 %.\n\n" +
		"Written by `go test -tags e2e -run TestMarginFuzz ./e2e/predict` with OOM_E2E_EVIDENCE set.\n\n",
}

// writeEvidence writes a table where the environment says so, else its head to
// the log.
func writeEvidence(t *testing.T, b *bench, name, text string) {
	t.Helper()
	head, _, _ := strings.Cut(text, "| case |")
	t.Log(head)
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-v%d.md", name, b.version))
	if err := os.WriteFile(file, []byte(titles[name]+text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// letter names a process of the case.
func letter(o *outcome, pid int) string {
	return string(rune('A' + slices.Index(o.members, pid)))
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// sameSet compares two lists of pids; the log names a group's first victim twice.
func sameSet(a, b []int) bool {
	sorted := func(pids []int) []int { return slices.Compact(slices.Sorted(slices.Values(pids))) }
	return slices.Equal(sorted(a), sorted(b))
}

func missesOrNone(text string) string {
	if text == "" {
		return "No prediction was wrong.\n"
	}
	return "What was wrong, and what the kernel saw:\n\n" + text
}

func today() string { return time.Now().UTC().Format(time.DateOnly) }

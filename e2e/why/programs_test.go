// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package why

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// program is a real one that dies in a container.
type program struct {
	workload
	name  string
	needs string // what has to be installed.
	limit int64
	says  []string // what its sentence has to name.
	start func(t *testing.T, g *lab.Group)
}

// TestWhyPrograms has programs killed that are no hogs, at the same time as
// TestWhyHost: a Go service with a map that only grows, Node.js with a heap limit
// above its container's, and a server that forks a worker a request.
func TestWhyPrograms(t *testing.T) {
	if !full() {
		t.Skip("takes a minute or two: set OOM_E2E_FULL")
	}
	t.Parallel()
	lab.Root(t)
	e := lab.StartExporter(t)
	all := []*program{
		{
			name: "a Perl server that forks a worker a request", workload: workload{cause: "processes", grew: "anon"},
			needs: "perl", limit: 48 * mib, says: []string{"processes in", "MiB each"}, start: forkWorkers,
		},
		{
			name: "Node.js with --max-old-space-size=4096", workload: workload{cause: "startup", grew: "anon"},
			needs: "node", limit: 128 * mib, says: []string{"node (pid ", "128.0 MiB"}, start: fillHeap,
		},
		{
			name: "a Go service whose map of sessions only grows", workload: workload{cause: "leak", grew: "anon"},
			needs: "go", limit: 64 * mib, says: []string{"service (pid ", "a minute"}, start: serveSessions,
		},
	}
	top := fmt.Sprintf("/oom-e2e-programs-%d", os.Getpid())
	lab.NewGroup(t, top, lab.Unlimited) // first, so that it is removed last.
	for i, p := range all {
		p.path = fmt.Sprintf("%s/program%d", top, i)
		if path, err := exec.LookPath(p.needs); err == nil {
			cacheText(t, path)
			p.start(t, lab.NewGroup(t, p.path, p.limit))
		}
	}
	for _, p := range all {
		t.Run(p.cause, func(t *testing.T) {
			lab.Need(t, p.needs)
			p.await(e.URL)
			p.check(t)
		})
	}
	writePrograms(t, all)
}

// check holds the verdict against the truth.
func (p *program) check(t *testing.T) {
	t.Helper()
	if len(p.got.Kills) != 1 {
		t.Fatalf("%s: no kill was recorded", p.name)
	}
	v := p.got.Kills[0].Verdict
	if v.Cause != p.cause || v.Grew != p.grew || v.Advice == "" {
		t.Errorf("%s: said %s of %s, want %s of %s: %s Advice: %s", p.name, v.Cause, v.Grew, p.cause, p.grew, v.Sentence, v.Advice)
	}
	for _, part := range p.says {
		if !strings.Contains(v.Sentence, part) {
			t.Errorf("%s: %q has no %q", p.name, v.Sentence, part)
		}
	}
}

// cacheText has the page cache of a program charged to somebody else. In a container
// that has hardly room for it a program may run for minutes on text that is read again
// and again, before the kernel gives up on it.
func cacheText(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, f); err != nil {
		t.Fatal(err)
	}
}

// startIn starts a program in a container; the shell is it after a moment.
func startIn(t *testing.T, g *lab.Group, command ...string) *lab.Process {
	t.Helper()
	script := `echo 1000 >/proc/self/oom_score_adj; echo $$ >"$0" && exec "$@"`
	return lab.Start(t, exec.Command("sh", append([]string{"-c", script, g.File("cgroup.procs")}, command...)...))
}

// serveSessions asks a service again and again, for nearly a MiB of sessions a second.
func serveSessions(t *testing.T, g *lab.Group) {
	bin := filepath.Join(t.TempDir(), "service")
	build := exec.Command("go", "build", "-o", bin, "./e2e/why/service")
	build.Dir = lab.Repository(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the service: %v\n%s", err, out)
	}
	p := startIn(t, g, bin)
	lab.Eventually(t, time.Minute, "the service's address", func() bool { return strings.Contains(p.Output(), "\n") })
	address := "http://" + strings.TrimSpace(p.Output())
	go func() {
		for !p.Ended() {
			<-time.After(20 * time.Millisecond)
			if resp, err := plainClient().Get(address); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}
	}()
}

// fillHeap has V8 fill a heap of which it believes that it may have 4 GiB.
func fillHeap(t *testing.T, g *lab.Group) {
	startIn(t, g, "node", "--max-old-space-size=4096", "-e",
		`const rows = []; setInterval(() => { for (let i = 0; i < 4000; i++) rows.push({ id: rows.length, name: "row " + rows.length }); }, 50)`)
}

// forkWorkers forks until a worker was killed.
func forkWorkers(t *testing.T, g *lab.Group) {
	startIn(t, g, "perl", "-MPOSIX=WNOHANG", "-e", `
		while (waitpid(-1, WNOHANG) <= 0) {
			my $pid = fork // die;
			if (!$pid) { my $request = "x" x 1_500_000; sleep 60; exit }
			push @workers, $pid;
			select undef, undef, undef, 0.4;
		}
		kill KILL => @workers;`)
}

// writePrograms writes down what was said of each program.
func writePrograms(t *testing.T, all []*program) {
	t.Helper()
	var rows strings.Builder
	for _, p := range all {
		if len(p.got.Kills) != 1 {
			continue
		}
		v := p.got.Kills[0].Verdict
		fmt.Fprintf(&rows, "| %s | %d MiB | %s, %s | %s, %s (%s) | %s | %s |\n", p.name, p.limit/mib, p.cause, p.grew, v.Cause, v.Grew, v.Confidence,
			strings.ReplaceAll(v.Sentence, "|", "\\|"), strings.ReplaceAll(v.Advice, "|", "\\|"))
	}
	version := lab.MemoryHierarchy(t).Version
	page := fmt.Sprintf(`# Verdicts on real programs

Each row is a program that the kernel killed, what was wrong with it, and what the exporter said of it.

Written by `+"`go test -tags e2e -run TestWhyPrograms ./e2e/why`"+` with OOM_E2E_EVIDENCE set, %s, Linux %s, cgroup v%d.

| program | limit | truth | verdict | sentence | advice |
|---|---|---|---|---|---|
%s`, time.Now().UTC().Format(time.DateOnly), kernelRelease(), version, rows.String())
	t.Log("\n" + page)
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("why-programs-v%d.md", version)), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

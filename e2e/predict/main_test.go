// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package predict_test asks a real kernel whether the predictions hold: it
// draws workloads, provokes OOMs in groups of its own, and compares who was
// killed, and after how many bytes, with what was predicted just before.
//
// The environment tunes a run:
//
//	OOM_E2E_SEED      seed of the draws; printed, drawn by time if not given.
//	OOM_E2E_CASES     number of cases instead of each test's own.
//	OOM_E2E_EVIDENCE  directory to write the tables to.
//	OOM_E2E_DISK      directory on a disk for page cache; default the temporary one.
//	OOM_E2E_LOAD      a built e2e/load, where there is no Go to build it.
package predict_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/proc"
)

const (
	mib  = 1 << 20
	page = 4096 // the guests and hosts of these tests; checked in newBench.
)

// bench is what the tests of this package share.
type bench struct {
	groups  *cgroup.Hierarchy
	procs   *proc.FS
	version int
	load    string // the program.
	prefix  string // the group that all cases lie in.
	dir     string // for files, on a disk.
	seed    uint64
	rng     *rand.Rand
	kernel  string
	adjLow  int // the lowest oom_score_adj that may be set.
}

func newBench(t *testing.T) *bench {
	lab.Root(t)
	if os.Getpagesize() != page {
		t.Skip("needs a page size of 4 KiB")
	}
	b := &bench{prefix: fmt.Sprintf("/oomx-%d", os.Getpid()), dir: diskDir(t), seed: seed(t)}
	b.rng = rand.New(rand.NewPCG(b.seed, 1))
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", b.seed, b.seed)
	var err error
	if b.groups, err = cgroup.Find(cgroup.Options{Parts: cgroup.PartProcs | cgroup.PartSwap | cgroup.PartProtection}); err != nil {
		t.Fatal(err)
	}
	b.version = b.groups.Version()
	if b.procs, err = proc.New(proc.Options{Root: "/proc"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.procs.Close() })
	node, err := b.procs.Node()
	if err != nil {
		t.Fatal(err)
	}
	b.kernel = node.Release.Text
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1"), 0); err == nil {
		b.adjLow = -1000
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
	}
	b.load = buildLoad(t)
	lab.NewGroup(t, b.prefix, lab.Unlimited)
	return b
}

func seed(t *testing.T) uint64 {
	text := os.Getenv("OOM_E2E_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano()) % 1e6
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cases is the number of cases to draw.
func cases(t *testing.T, standard int) int {
	text := os.Getenv("OOM_E2E_CASES")
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// buildLoad returns the program, built without cgo so that a guest runs it too.
func buildLoad(t *testing.T) string {
	if load := os.Getenv("OOM_E2E_LOAD"); load != "" {
		return load
	}
	load := filepath.Join(t.TempDir(), "load")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", load, "../load")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the load: %v\n%s", err, out)
	}
	return load
}

// diskDir is a directory that is not in memory: the files are page cache.
func diskDir(t *testing.T) string {
	dir, err := os.MkdirTemp(os.Getenv("OOM_E2E_DISK"), "oomx-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

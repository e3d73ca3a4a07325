// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestGuest repeats the storms where memory is on cgroup v2, and does what
// can't be done to this host: OOMs of the whole machine, and a kernel log that
// overflows. In a guest it is the test that runs there.
func TestGuest(t *testing.T) {
	if os.Getenv("OOM_E2E_GUEST") != "" {
		newBench(t).inGuest(t)
		return
	}
	lab.Root(t)
	for _, g := range []struct {
		name   string
		kernel guest.Kernel
		cgroup int
		full   bool // only with OOM_E2E_FULL.
	}{
		{"6.1-v2", guest.K61, 2, false},
		{"6.1-v1", guest.K61, 1, true},
		{"6.12-v2", guest.K612, 2, true},
		{"5.10-v2", guest.K510, 2, true},
	} {
		if g.full && !full() {
			continue
		}
		t.Run(g.name, func(t *testing.T) { bootGuest(t, g.name, g.kernel, g.cgroup) })
	}
}

func bootGuest(t *testing.T, name string, kernel guest.Kernel, cgroup int) {
	seed := uint64(time.Now().UnixNano()) % 1e6
	stretch, timeout := 1.5, 15*time.Minute
	if full() {
		stretch, timeout = 3, time.Hour
	}
	if os.Getenv("OOM_E2E_STRETCH") != "" {
		fmt.Sscan(os.Getenv("OOM_E2E_STRETCH"), &stretch)
	}
	fmt.Sscan(os.Getenv("OOM_E2E_SEED"), &seed)
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", seed, seed)
	keep := map[string]string{}
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" {
		for _, table := range tables {
			file := fmt.Sprintf("%s-%s.md", table, name)
			keep[file] = filepath.Join(dir, file)
		}
	}
	guest.RunTests(t, guest.Options{
		Kernel: kernel, Cgroup: cgroup, MemoryMB: 768, Parallel: true, Files: map[string]string{"/bin/storm": lab.StormProgram(t)},
	}, guest.Tests{
		Run: "^TestGuest$/" + os.Getenv("OOM_E2E_SCENE"), Before: spared, Timeout: timeout, Keep: keep,
		Env: map[string]string{
			"OOM_E2E_STORM": "/bin/storm", "OOM_E2E_GUEST": name, "OOM_E2E_FULL": os.Getenv("OOM_E2E_FULL"),
			"OOM_E2E_SEED": fmt.Sprint(seed), "OOM_E2E_STRETCH": fmt.Sprint(stretch),
		},
	})
}

// spared has all but the victims at oom_score_adj -1000, so that an OOM of the
// machine takes one of them.
const spared = "echo -1000 >/proc/self/oom_score_adj"

// tables are what a guest leaves.
var tables = []string{"storms", "short-lived", "records", "ooms", "starved", "overrun", "thrashing"}

func (b *bench) inGuest(t *testing.T) {
	t.Run("storms", b.storms)
	t.Run("short", b.shortLived)
	t.Run("records", b.records)
	t.Run("bpf", b.bpfKills)
	t.Run("ooms", b.ooms)
	t.Run("starved", b.starved)
	t.Run("overrun", b.overrun)
	t.Run("thrashing", b.thrashing)
}

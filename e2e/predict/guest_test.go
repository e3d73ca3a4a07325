// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// swapOn has swap on RAM disks of 16 MiB: a slow disk would have pages wait for
// being written, when they are in memory and in swap at once.
const swapOn = "for disk in /dev/ram*; do mkswap $disk >/dev/null && swapon $disk; done"

// TestGuestPrediction and TestGuestMargin repeat the tests in a guest with
// cgroup v2, negative oom_score_adj, memory.oom.group, memory.min and swap: all
// cases where OOM_E2E_FULL is set.
func TestGuestPrediction(t *testing.T) { inGuest(t, "TestPrediction", "prediction", false, 100) }

func TestGuestMargin(t *testing.T) { inGuest(t, "TestMargin", "margin", true, 100) }

// TestGuestMarginFuzz repeats the fuzzer in one with a kernel that can charge
// hugetlb pages, and does.
func TestGuestMarginFuzz(t *testing.T) {
	runInGuest(t, guest.K612, "TestMarginFuzz", "margin-fuzz", swapOn+hugetlbOn, 80)
}

// hugetlbOn has 64 MiB of them.
const hugetlbOn = "\nmount -o remount,memory_hugetlb_accounting /sys/fs/cgroup\necho 32 >/proc/sys/vm/nr_hugepages\n"

func inGuest(t *testing.T, test, evidence string, swap bool, standard int) {
	before := ""
	if swap {
		before = swapOn
	}
	runInGuest(t, guest.K61, test, evidence, before, standard)
}

func runInGuest(t *testing.T, kernel guest.Kernel, test, evidence, more string, standard int) {
	lab.Root(t)
	timeout := time.Hour
	if os.Getenv("OOM_E2E_FULL") == "" {
		standard /= 10 // an emulated guest takes ten seconds for a case.
		timeout /= 4
	}
	s := seed(t)
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", s, s)
	keep := map[string]string{}
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" {
		name := evidence + "-v2.md"
		keep[name] = filepath.Join(dir, name)
	}
	guest.RunTests(t, guest.Options{
		Kernel: kernel, MemoryMB: 1280, SwapMB: 1500, Modules: []string{"brd"}, Files: map[string]string{"/bin/load": buildLoad(t)},
	}, guest.Tests{Run: "^" + test + "$", Before: guest.FileSystem + more, Timeout: timeout, Keep: keep, Env: guestEnv(s, cases(t, standard))})
}

// guestEnv is the environment of this package's tests in a guest.
func guestEnv(seed uint64, cases int) map[string]string {
	return map[string]string{
		"OOM_E2E_LOAD": "/bin/load", "OOM_E2E_DISK": "/data", "OOM_E2E_SEED": fmt.Sprint(seed), "OOM_E2E_CASES": fmt.Sprint(cases),
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestGuest repeats the tests on cgroup v2, in a guest; all of them where
// OOM_E2E_FULL is set.
func TestGuest(t *testing.T) {
	tests := "TestLeaks|TestSwitchAndNoop|TestCacheIsNoReason|TestStanding|TestShapes|TestAttacks"
	if full() {
		tests += "|TestKilledInTheMiddle|TestManyGroups|TestMatrix|TestHugePages"
	}
	if own := os.Getenv("OOM_E2E_GUEST"); own != "" {
		tests = own
	}
	lab.Root(t)
	crowd(t)
	quiet(t)
	inGuest(t, tests)
}

func inGuest(t *testing.T, tests string) {
	t.Helper()
	files := map[string]string{"/bin/oom_guard": lab.Guard(t)}
	leaks := os.Getenv("OOM_E2E_LEAKS")
	if leaks != "" && lab.Exists(leaks) {
		files["/leaks"] = leaks
	}
	var rest time.Duration
	if slices.Contains(strings.Split(tests, "|"), "TestManyGroups") { // the only one that is about it.
		rest = tick(t)
	}
	keep := map[string]string{}
	for test, table := range map[string]string{
		"TestLeaks": "guard-v2.md", "TestCacheIsNoReason": "guard-cache-v2.md", "TestManyGroups": "guard-many-v2.md",
		"TestMatrix": "guard-matrix-v2.md", "TestStanding": "guard-standing-v2.md", "TestShapes": "guard-shapes-v2.md", "TestAttacks": "guard-attacks-v2.md", "TestHugePages": "guard-huge-v2.md",
	} {
		if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && slices.Contains(strings.Split(tests, "|"), test) {
			keep[table] = filepath.Join(dir, table)
		}
	}
	if leaks != "" && strings.Contains(tests, "TestLeaks") {
		keep["leaks"] = leaks
	}
	timeout, disk := 20*time.Minute, 500
	if full() {
		timeout, disk = 150*time.Minute, 2000
	}
	guest.RunTests(t, guest.Options{MemoryMB: 5120, SwapMB: disk, Parallel: true, Files: files}, guest.Tests{
		Run: "^(" + tests + ")$", Before: guest.FileSystem + "[ ! -e /leaks ] || cp /leaks /out/leaks", Timeout: timeout, Keep: keep,
		Env: map[string]string{
			"OOM_E2E_HANDOFF": handoff(t).String(), "OOM_E2E_TICK": rest.String(), "OOM_E2E_GUARD": "/bin/oom_guard", "OOM_E2E_HOG": "/bin/hog",
			"OOM_E2E_DISK": "/data", "OOM_E2E_LEAKS": "/out/leaks", "OOM_E2E_SEED": fmt.Sprint(seeded(t).Uint32() % 1e6),
			"OOM_E2E_FULL": os.Getenv("OOM_E2E_FULL"), "OOM_E2E_CASES": os.Getenv("OOM_E2E_CASES"),
			"OOM_E2E_KINDS": os.Getenv("OOM_E2E_KINDS"),
		},
	})
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// guestScript runs tests of this package in the guest; page cache needs a file
// system on a disk.
const guestScript = `
swapoff /dev/vdb
mke2fs /dev/vdb >/dev/null 2>&1
mkdir /data /dev/shm
mount -t ext4 /dev/vdb /data
mount -t tmpfs tmpfs /dev/shm
[ ! -e /leaks ] || cp /leaks /out/leaks
export OOM_E2E_HANDOFF=%s OOM_E2E_TICK=%s OOM_E2E_GUARD=/bin/oom_guard OOM_E2E_HOG=/bin/hog OOM_E2E_DISK=/data OOM_E2E_EVIDENCE=/out OOM_E2E_LEAKS=/out/leaks
export OOM_E2E_SEED=%d OOM_E2E_FULL=%s OOM_E2E_CASES=%s
guard.test -test.v -test.timeout 90m -test.run '^(%s)$' >/out/test.log 2>&1 || { cat /out/test.log; exit 1; }
`

// TestGuest repeats the tests on cgroup v2, in a guest; all of them where
// OOM_E2E_FULL is set.
func TestGuest(t *testing.T) {
	tests := "TestLeaks|TestSwitchAndNoop|TestCacheIsNoReason"
	if full() {
		tests += "|TestKilledInTheMiddle|TestManyGroups"
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
	binary := filepath.Join(t.TempDir(), "guard.test")
	cmd := exec.Command("go", "test", "-c", "-tags", "e2e", "-trimpath", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the test: %v\n%s", err, out)
	}
	files := map[string]string{"/bin/guard.test": binary, "/bin/oom_guard": lab.Guard(t)}
	leaks := os.Getenv("OOM_E2E_LEAKS")
	if leaks != "" && lab.Exists(leaks) {
		files["/leaks"] = leaks
	}
	var rest time.Duration
	if slices.Contains(strings.Split(tests, "|"), "TestManyGroups") { // the only one that is about it.
		rest = tick(t)
	}
	vm := guest.Run(t, guest.Options{
		MemoryMB: 5120, SwapMB: 500, Timeout: 60 * time.Minute, Files: files,
		Script: fmt.Sprintf(guestScript, handoff(t), rest, seeded(t).Uint32()%1e6, os.Getenv("OOM_E2E_FULL"), os.Getenv("OOM_E2E_CASES"), tests),
	})
	vm.Wait(t)
	t.Log(vm.File(t, "test.log"))
	for test, table := range map[string]string{
		"TestLeaks": "guard-v2.md", "TestCacheIsNoReason": "guard-cache-v2.md", "TestManyGroups": "guard-many-v2.md",
	} {
		if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && slices.Contains(strings.Split(tests, "|"), test) {
			keep(t, vm, table, filepath.Join(dir, table))
		}
	}
	if leaks != "" && strings.Contains(tests, "TestLeaks") {
		keep(t, vm, "leaks", leaks)
	}
}

// keep copies a file that the guest left.
func keep(t *testing.T, vm *guest.VM, name, to string) {
	t.Helper()
	if err := os.WriteFile(to, []byte(vm.File(t, name)), 0o644); err != nil {
		t.Fatal(err)
	}
}

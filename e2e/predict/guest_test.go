// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// guestScript runs one of this package's own tests in the guest. Its second
// disk becomes a file system, because page cache needs one. Swap is on RAM
// disks of 16 MiB: a slow disk would have pages wait for being written, when
// they are in memory and in swap at once.
const guestScript = `
swapoff /dev/vdb
mke2fs /dev/vdb >/dev/null 2>&1
mkdir /data /dev/shm
mount -t ext4 /dev/vdb /data
mount -t tmpfs tmpfs /dev/shm
for disk in /dev/ram*; do
  [ %[1]v = false ] || { mkswap $disk >/dev/null && swapon $disk; }
done
export OOM_E2E_LOAD=/bin/load OOM_E2E_DISK=/data OOM_E2E_EVIDENCE=/out OOM_E2E_SEED=%[2]d OOM_E2E_CASES=%[3]d
predict.test -test.v -test.timeout 60m -test.run '^%[4]s$' >/out/test.log 2>&1 || { cat /out/test.log; exit 1; }
`

// TestGuestPrediction and TestGuestMargin repeat the tests in a guest with
// cgroup v2, negative oom_score_adj, memory.oom.group, memory.min and swap: all
// cases where OOM_E2E_FULL is set.
func TestGuestPrediction(t *testing.T) { inGuest(t, "TestPrediction", "prediction", false, 100) }

func TestGuestMargin(t *testing.T) { inGuest(t, "TestMargin", "margin", true, 50) }

func inGuest(t *testing.T, test, evidence string, swap bool, standard int) {
	lab.Root(t)
	binary := filepath.Join(t.TempDir(), "predict.test")
	cmd := exec.Command("go", "test", "-c", "-tags", "e2e", "-trimpath", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the test: %v\n%s", err, out)
	}
	if os.Getenv("OOM_E2E_FULL") == "" {
		standard /= 10 // an emulated guest takes ten seconds for a case.
	}
	s := seed(t)
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", s, s)
	vm := guest.Run(t, guest.Options{
		MemoryMB: 1280, SwapMB: 1500, Modules: []string{"brd"}, Timeout: 30 * time.Minute,
		Script: fmt.Sprintf(guestScript, swap, s, cases(t, standard), test),
		Files:  map[string]string{"/bin/predict.test": binary, "/bin/load": buildLoad(t)},
	})
	vm.Wait(t)
	t.Log(vm.File(t, "test.log"))
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" {
		return
	}
	name := evidence + "-v2.md"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(vm.File(t, name)), 0o644); err != nil {
		t.Fatal(err)
	}
}

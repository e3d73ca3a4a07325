// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// globalScript runs TestGuestGlobal in the guest. Its second disk is there for
// page cache. What is not drawn has oom_score_adj -1000, the exporter too.
const globalScript = `
swapoff /dev/vdb
mke2fs /dev/vdb >/dev/null 2>&1
mkdir /data /dev/shm
mount -t ext4 /dev/vdb /data
mount -t tmpfs tmpfs /dev/shm
echo -1000 >/proc/self/oom_score_adj
export OOM_E2E_GUEST=1 OOM_E2E_BINARY=/bin/oom_exporter OOM_E2E_LOAD=/bin/load OOM_E2E_DISK=/data OOM_E2E_EVIDENCE=/out TMPDIR=/tmp
export OOM_E2E_SEED=%d OOM_E2E_CASES=%d
predict.test -test.v -test.timeout 60m -test.run '^TestGuestGlobal$' >/out/test.log 2>&1 3>&- || { cat /out/test.log; exit 1; }
`

const globalTitle = "# Who is killed when the whole node runs out: predicted and real\n\n" +
	"Random groups of processes without limits fill a guest; one of them grows in steps until the kernel kills. The exporter runs in the guest and is scraped " +
	"after each step: prediction, lead, left and margin are its own metrics; who was killed is from the kernel's log, the two usual guesses are from /proc. Sizes are log-uniform from 1 MiB to half of what the node has left, anonymous or shmem; oom_score_adj is 0 for half of the " +
	"processes and uniform from -1000 to 1000 for the others; there is page cache, too. The prediction is oom_next_victim_badness_bytes{scope=\"node\"} of the first scrape with at most 2.5 % of MemTotal left by " +
	"oom_node_kill_margin_bytes; left and lead are in pages, and clear means the same as for the limits of groups (prediction-v2.md). " +
	"The last margin is that of the last scrape before the kill whose oom_node_kills_total had not moved, in percent of MemTotal; below 3 % it is right. " +
	"Beside it is what the kernel's report of the kill counts as reclaimable slab, which it could not free: most of that margin. " +
	"Processes are named A, B, C in the order in which they were started. Beside the drawn ones there are always three of 16 MiB at -999: a kernel that finds nobody to kill panics. The seed of the second guest is one more than that of the run.\n\n" +
	"Written by `OOM_E2E_FULL=1 go test -tags e2e -run TestGuestGlobal ./e2e/predict` with OOM_E2E_EVIDENCE set.\n\n"

// TestGuestGlobal has guests run out of memory and compares who is killed, and
// how much is left then, with what the exporter said. In a guest it is the
// test that runs there. With OOM_E2E_FULL it boots twice and draws more cases.
func TestGuestGlobal(t *testing.T) {
	if os.Getenv("OOM_E2E_GUEST") != "" {
		globalInGuest(t)
		return
	}
	lab.Root(t)
	binary := filepath.Join(t.TempDir(), "predict.test")
	cmd := exec.Command("go", "test", "-c", "-tags", "e2e", "-trimpath", "-ldflags=-s -w", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the test: %v\n%s", err, out)
	}
	load := buildLoad(t)
	boots, standard := []guest.Options{{Kernel: guest.K61, Cgroup: 2}}, 6
	if os.Getenv("OOM_E2E_FULL") != "" {
		boots, standard = append(boots, guest.Options{Kernel: guest.K510, Cgroup: 1}), 12
	}
	s := seed(t)
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", s, s)
	var text strings.Builder
	for i, o := range boots {
		o.MemoryMB, o.SwapMB, o.Timeout = 768, 200, 20*time.Minute
		o.Script = fmt.Sprintf(globalScript, s+uint64(i), cases(t, standard))
		o.Files = map[string]string{"/bin/predict.test": binary, "/bin/load": load}
		t.Run(fmt.Sprintf("%s-v%d", o.Kernel.Name, o.Cgroup), func(t *testing.T) {
			vm := guest.Run(t, o)
			vm.Wait(t)
			t.Log(vm.File(t, "test.log"))
			text.WriteString(vm.File(t, "global.md"))
		})
	}
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		if err := os.WriteFile(filepath.Join(dir, "prediction-global.md"), []byte(globalTitle+text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

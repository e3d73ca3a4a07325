// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

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
	load := buildLoad(t)
	boots, standard := []guest.Options{{Kernel: guest.K61, Cgroup: 2}}, 6
	if os.Getenv("OOM_E2E_FULL") != "" {
		boots, standard = append(boots, guest.Options{Kernel: guest.K510, Cgroup: 1}), 12
	}
	s := seed(t)
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", s, s)
	var text strings.Builder
	for i, o := range boots {
		o.MemoryMB, o.SwapMB, o.Files = 768, 200, map[string]string{"/bin/load": load}
		env := guestEnv(s+uint64(i), cases(t, standard))
		env["OOM_E2E_GUEST"] = "1"
		t.Run(fmt.Sprintf("%s-v%d", o.Kernel.Name, o.Cgroup), func(t *testing.T) {
			// What is not drawn has oom_score_adj -1000, the exporter too.
			vm := guest.RunTests(t, o, guest.Tests{
				Run: "^TestGuestGlobal$", Before: guest.FileSystem + "echo -1000 >/proc/self/oom_score_adj", Timeout: 16 * time.Minute, Env: env,
			})
			text.WriteString(vm.File(t, "global.md"))
		})
	}
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		if err := os.WriteFile(filepath.Join(dir, "prediction-global.md"), []byte(globalTitle+text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

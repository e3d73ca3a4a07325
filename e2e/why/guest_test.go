// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package why

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestWhyGuest repeats it where memory is on cgroup v2.
func TestWhyGuest(t *testing.T) {
	lab.Root(t)
	keep := map[string]string{}
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" {
		keep["why-v2.md"] = filepath.Join(dir, "why-v2.md")
	}
	minutes, memory := 12, 1536
	if full() {
		minutes, memory = 80, 3072
	}
	// Page cache needs a file system, and the files of the workloads are there.
	const before = guest.FileSystem + "export TMPDIR=/data\n"
	guest.RunTests(t, guest.Options{Kernel: guest.K61, Cgroup: 2, MemoryMB: memory, SwapMB: 600}, guest.Tests{
		Run: "^TestWhyHost$", Before: before, Timeout: time.Duration(minutes) * time.Minute, Keep: keep,
		Env: map[string]string{
			"OOM_E2E_GUEST": "6.1-v2", "OOM_E2E_HOG": "/bin/hog",
			"OOM_E2E_FULL": os.Getenv("OOM_E2E_FULL"), "OOM_E2E_SEED": os.Getenv("OOM_E2E_SEED"),
		},
	})
}

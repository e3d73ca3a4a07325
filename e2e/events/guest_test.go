// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

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

// guestScript runs TestGuest in the guest. All but the victims have
// oom_score_adj -1000, so that an OOM of the machine takes one of them.
const guestScript = `
echo -1000 >/proc/self/oom_score_adj
export OOM_E2E_BINARY=/bin/oom_exporter OOM_E2E_STORM=/bin/storm OOM_E2E_EVIDENCE=/out TMPDIR=/tmp
export OOM_E2E_SEED=%d OOM_E2E_STRETCH=%g OOM_E2E_GUEST=%s OOM_E2E_FULL=%s
events.test -test.v -test.timeout 60m -test.run '^TestGuest$/%s' >/out/test.log 2>&1
`

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
	binary := filepath.Join(t.TempDir(), "events.test")
	cmd := exec.Command("go", "test", "-c", "-tags", "e2e", "-trimpath", "-ldflags=-s -w", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the test: %v\n%s", err, out)
	}
	seed := uint64(time.Now().UnixNano()) % 1e6
	stretch := 1.5
	if full() {
		stretch = 3
	}
	if os.Getenv("OOM_E2E_STRETCH") != "" {
		fmt.Sscan(os.Getenv("OOM_E2E_STRETCH"), &stretch)
	}
	fmt.Sscan(os.Getenv("OOM_E2E_SEED"), &seed)
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", seed, seed)
	vm := guest.Run(t, guest.Options{
		Kernel: kernel, Cgroup: cgroup, MemoryMB: 768, Timeout: 30 * time.Minute,
		Script: fmt.Sprintf(guestScript, seed, stretch, name, os.Getenv("OOM_E2E_FULL"), os.Getenv("OOM_E2E_SCENE")),
		Files:  map[string]string{"/bin/events.test": binary, "/bin/storm": lab.StormProgram(t)},
	})
	t.Cleanup(func() { // the emulated console would take minutes for it.
		if _, err := fmt.Sscan(vm.File(t, "status"), new(int)); err == nil {
			t.Log(vm.File(t, "test.log"))
		}
	})
	vm.Wait(t)
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" {
		return
	}
	for _, table := range tables {
		file := fmt.Sprintf("%s-%s.md", table, name)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(vm.File(t, file)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tables are what a guest leaves.
var tables = []string{"storms", "short-lived", "records", "ooms", "overrun", "thrashing"}

func (b *bench) inGuest(t *testing.T) {
	t.Run("storms", b.storms)
	t.Run("short", b.shortLived)
	t.Run("records", b.records)
	t.Run("ooms", b.ooms)
	t.Run("overrun", b.overrun)
	t.Run("thrashing", b.thrashing)
}

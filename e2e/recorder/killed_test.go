// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package recorder_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestKilledWhileFreezing kills the exporter while the kernel kills in many
// containers: whenever that is, the files are whole, and no recording that a
// scrape has shown as saved is lost.
func TestKilledWhileFreezing(t *testing.T) {
	lab.Root(t)
	rng := rand.New(rand.NewPCG(seed(t), 1))
	state := filepath.Join(t.TempDir(), "state")
	var groups []*lab.Group
	for i := range 4 {
		groups = append(groups, lab.NewGroup(t, fmt.Sprintf("freezing/%d", i), 16*mi))
	}
	rounds := 3
	if full() {
		rounds = 40
	}
	saved := 0.0
	for round := range rounds {
		e := lab.StartExporter(t, "--state.file="+state, "--recorder.keep=10000")
		first := e.Scrape(t).Value(t, "oom_recorder_recordings")
		if first < saved {
			t.Errorf("round %d: %v recordings, %v were saved before", round, first, saved)
		}
		stop := time.Now().Add(time.Duration(500+rng.IntN(2500)) * time.Millisecond)
		last := round == rounds-1
		for i := 0; time.Now().Before(stop) || last && saved == 0 && i < 200; i++ { // one must be saved in the end.
			killOne(t, groups[i%len(groups)])
			if m := e.Scrape(t); m.Value(t, "oom_recorder_unsaved_seconds") == 0 {
				saved = max(saved, m.Value(t, "oom_recorder_recordings"))
			}
		}
		e.Signal(t, syscall.SIGKILL)
		e.Wait(t, 10*time.Second)
		if out := e.Output(); strings.Contains(out, "flight recorder") {
			t.Errorf("round %d: the flight recorder complains:\n%s", round, out)
		}
	}
	if saved == 0 {
		t.Error("no recording was saved in any round")
	}
	t.Logf("%v recordings saved in %d rounds", saved, rounds)
}

// killOne has the kernel kill one process in the group.
func killOne(t *testing.T, g *lab.Group) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%s,%d,0,%d", hogVariable, g.File("cgroup.procs"), filepath.Join(t.TempDir(), "beat"), 8*mi, 2000*mi))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("it was not killed: %v", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestStages has a slow leak beside a process that catches SIGUSR1: it is warned,
// by a signal and by HTTP, and then the leak ends by SIGTERM. Neither the guard
// nor the kernel sends a SIGKILL.
func TestStages(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	crowd(t)
	var mu sync.Mutex
	var warnings []map[string]any
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var w map[string]any
		if err := json.NewDecoder(r.Body).Decode(&w); err != nil {
			t.Errorf("the warning: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, w)
	}))
	defer hook.Close()
	group := lab.NewGroup(t, path.Join(root, "app"), 256*mib)
	g := startGuard(t, binary, root, "--policy=container", "--warn.url="+hook.URL, "--warn.signal=SIGUSR1", "--term-ahead=2s")
	g.await(t, 1)
	catcher := lab.Start(t, exec.Command("sh", "-c", "trap 'echo warned' USR1; trap 'echo ended; exit 0' TERM; echo 0 > "+group.File("cgroup.procs")+"; echo up; while :; do sleep 0.05; done"))
	catcher.WaitLine(t, "up")
	w := watchGroup(t, group, 256*mib)
	leak := start(t, hog, group, "anon:240M", "sleep:200", "rate:2M", "anon:256M")
	if status := leak.Wait(t, time.Minute); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the leak ended with %v, want SIGTERM", status)
	}
	w.end()
	catcher.WaitLine(t, "ended")
	if out := catcher.Output(); !strings.HasPrefix(out, "up\nwarned\n") || strings.Count(out, "warned") != 1 {
		t.Errorf("the catcher said %q, want one warning before its end", out)
	}
	lab.Eventually(t, 10*time.Second, "the hook has a warning", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(warnings) == 1 && warnings[0]["cgroup"] == group.Path
	})
	if kills := g.outcome(t, "killed"); kills > 0 || kernelKills(t, group) > 0 || g.outcome(t, "terminated") != 1 {
		t.Errorf("%v kills by the guard, %d by the kernel, %v SIGTERMs:\n%s", kills, kernelKills(t, group), g.outcome(t, "terminated"), g.Output())
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// runGuard starts oom_guard as another pod of the node. It watches one
// pod, and leaves the others to the kernel.
func (s *stack) runGuard(t *testing.T) {
	t.Helper()
	port := lab.FreePort(t)
	address := "127.0.0.1:" + strconv.Itoa(port)
	s.guard = lab.AwaitExporter(t, lab.Start(t, exec.Command(lab.Guard(t), "--web.listen-address="+address, "--path.rootfs="+s.rootfs,
		"--policy=process", "--include.namespace="+s.namespaces, "--include.pod=guarded", "--kill-switch="+filepath.Join(s.dir, "off"))), port)
	lab.Eventually(t, time.Minute, "the guard watches its container", func() bool {
		return len(s.guard.Scrape(t).Find("oom_guard_threshold_bytes", "pod", "guarded")) == 2
	})
	target{"oom-exporter-guard-ccccc", "10.1.0.3", address}.discover(t, filepath.Join(s.dir, "guard.json"), rendered(t, "guard", "DaemonSet", "oom-exporter-guard"), nil)
}

// guardActs lets a container grow over the guard's threshold. It holds page cache,
// which the kernel reclaims by itself; then only a kill helps, and the kernel must
// not have to.
func (s *stack) guardActs(t *testing.T, guarded *lab.Group) {
	t.Helper()
	s.guardKills(t, guarded)
	told := fmt.Sprintf("oom_guard on %s in cluster eu-1 killed 1 time\\(s\\)", nodeName)
	lab.Eventually(t, time.Minute, "the guard's kill is told of", func() bool {
		_, ok := s.pages.find("firing", "OOMGuardKilled", "")
		return ok
	})
	if p, _ := s.pages.find("firing", "OOMGuardKilled", ""); !regexp.MustCompile(told).MatchString(p.text) {
		t.Errorf("the guard's kill is told as %s", p.text)
	}
}

// guardKills has the guard kill once.
func (s *stack) guardKills(t *testing.T, guarded *lab.Group) {
	t.Helper()
	before := s.guard.Scrape(t)
	file := filepath.Join(t.TempDir(), "cache")
	hog := lab.StartHog(t, guarded, "anon:36M", "file:20M:"+file, "rate:3M", "anon:40M")
	if status := hog.Wait(t, time.Minute); status.Signal() != syscall.SIGKILL {
		t.Errorf("the guarded process ended with %v:\n%s", status, hog.Output())
	}
	did := s.guard.Scrape(t)
	gained := func(family string, labels ...string) float64 {
		return did.Value(t, family, labels...) - before.Value(t, family, labels...)
	}
	if n := gained("oom_guard_actions_total", "outcome", "killed"); n != 1 {
		t.Errorf("the guard killed %v times", n)
	}
	if kills := kernelKills(t, guarded); kills != 0 {
		t.Errorf("the kernel killed %d times before the guard did", kills)
	}
}

// kernelKills is the kernel's own count for a group.
func kernelKills(t *testing.T, g *lab.Group) uint64 {
	t.Helper()
	kills, ok := g.Kills(t)
	if !ok {
		t.Fatalf("the kernel does not count kills in %s", g.Path)
	}
	return kills
}

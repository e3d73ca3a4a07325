// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package release

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/commands"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// words is a command as it stands on a page.
func words(t *testing.T, page, begin string) string {
	t.Helper()
	command, err := commands.Find(lab.Repository(t), page, begin)
	if err != nil {
		t.Fatal(err)
	}
	return command
}

// TestQuickStart starts the exporter and asks it by README's words, in a network
// of its own, where its port is free.
func TestQuickStart(t *testing.T) {
	lab.Root(t)
	lab.Need(t, "unshare", "nsenter", "ip", "curl")
	server := exec.Command("unshare", "--net", "sh", "-c", "ip link set lo up && exec "+words(t, "README.md", "go run ./cmd/oom_exporter"))
	server.Dir = lab.Repository(t)
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run has a child.
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGTERM)
		_ = server.Wait()
	})
	ask := func(page, begin string) string {
		command := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", server.Process.Pid), "sh", "-c", words(t, page, begin))
		out, _ := command.Output() // not yet, perhaps.
		return string(out)
	}
	var out string
	lab.Eventually(t, 3*time.Minute, "the exporter answers", func() bool {
		out = ask("README.md", "curl -s localhost:10137/metrics")
		return strings.Contains(out, "\noom_node_kill_margin_ratio ")
	})
	if !strings.Contains(out, "oom_node_kill_margin_bytes ") {
		t.Errorf("README's second command says\n%s", out)
	}
	if out := ask("docs/install/README.md", "curl -s localhost:10137/metrics"); !strings.Contains(out, "\noom_node_kill_margin_bytes ") {
		t.Errorf("the page's command says\n%s", out)
	}
}

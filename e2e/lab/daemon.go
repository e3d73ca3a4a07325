// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Daemon is a server of a test's set-up. It logs to a file, so that what it
// starts itself and leaves behind holds no pipe of ours.
type Daemon struct {
	PID  int
	Log  string
	cmd  *exec.Cmd
	done chan struct{}
}

// StartDaemon starts the command with its output in dir/name.log. The test's
// end stops it; when the test has failed, the end of the log is shown.
func StartDaemon(t testing.TB, dir, name string, cmd *exec.Cmd) *Daemon {
	t.Helper()
	d := &Daemon{Log: filepath.Join(dir, name+".log"), cmd: cmd, done: make(chan struct{})}
	out, err := os.OpenFile(d.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	// Not the terminal's signals; and if the tests die, or only the thread that
	// this runs on, it dies with them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.PID = cmd.Process.Pid
	go func() {
		_ = cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		d.Stop(t)
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, d.tail())
		}
	})
	return d
}

// Stop asks the daemon to end, and ends it if it does not.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	_ = syscall.Kill(d.PID, syscall.SIGTERM)
	select {
	case <-d.done:
		return
	case <-time.After(20 * time.Second):
	}
	t.Logf("%s does not end", d.cmd.Path)
	_ = d.cmd.Process.Kill()
	<-d.done
}

// Await waits until the daemon serves; a daemon that has ended fails the test.
func (d *Daemon) Await(t testing.TB, what string, serves func() bool) {
	t.Helper()
	ended := false
	Eventually(t, 90*time.Second, what, func() bool {
		select {
		case <-d.done:
			ended = true
		default:
		}
		return ended || serves()
	})
	if ended {
		t.Fatalf("%s ended at its start", d.cmd.Path)
	}
}

func (d *Daemon) tail() string {
	const most = 4000
	b, err := os.ReadFile(d.Log)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(b[max(0, len(b)-most):]), "?")
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a child of the test. It is killed when the test ends, however
// the test ends.
type Process struct {
	PID  int
	cmd  *exec.Cmd
	out  Output
	done chan struct{} // closed when the child has been waited for.
}

// Output collects what a process prints, safe to read while it runs.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

// String returns all that was printed so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Start starts the command; both of its outputs go to Output.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // a test that panics runs no clean-up.
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.PID = cmd.Process.Pid
	go func() {
		_ = cmd.Wait() // the state is what counts.
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
	})
	return p
}

// StartHog runs e2e/hog with the steps inside the group (nil: the test's own).
func StartHog(t testing.TB, g *Group, steps ...string) *Process {
	t.Helper()
	if g != nil {
		steps = append([]string{"enter:" + g.File("cgroup.procs")}, steps...)
	}
	return Start(t, exec.Command(Hog(t), steps...))
}

// Output returns what the process has printed so far.
func (p *Process) Output() string { return p.out.String() }

// WaitLine waits until the process has printed the line.
func (p *Process) WaitLine(t testing.TB, line string) {
	t.Helper()
	found := poll(time.Minute, func() bool {
		return strings.Contains("\n"+p.Output(), "\n"+line+"\n") || p.Ended()
	})
	if !found || !strings.Contains("\n"+p.Output(), "\n"+line+"\n") {
		t.Fatalf("%s did not print %q but:\n%s", p.cmd.Path, line, p.Output())
	}
}

// WaitStopped waits until the process has stopped itself with SIGSTOP.
func (p *Process) WaitStopped(t testing.TB) {
	t.Helper()
	if !poll(time.Minute, p.stoppedOrEnded) || p.Ended() {
		t.Fatalf("%s did not stop itself; it printed:\n%s", p.cmd.Path, p.Output())
	}
}

// WaitStoppedOrEnded waits until the process has stopped itself or ended.
func (p *Process) WaitStoppedOrEnded(t testing.TB) {
	t.Helper()
	if !poll(time.Minute, p.stoppedOrEnded) {
		t.Fatalf("%s neither stopped itself nor ended; it printed:\n%s", p.cmd.Path, p.Output())
	}
}

// Step lets the process go on until it stops itself again or ends.
func (p *Process) Step(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGCONT)
	p.WaitStoppedOrEnded(t)
}

func (p *Process) stoppedOrEnded() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.PID, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo == int32(unix.SIGCHLD) || p.Ended()
}

// Wait waits for the end of the process and returns how it ended.
func (p *Process) Wait(t testing.TB, timeout time.Duration) syscall.WaitStatus {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(timeout):
		t.Fatalf("%s still runs after %v; it printed:\n%s", p.cmd.Path, timeout, p.Output())
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// Signal sends a signal; a process that is gone is no error.
func (p *Process) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(p.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

// Ended tells whether the process has ended and was waited for.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// member is one running load.
type member struct {
	cmd    *exec.Cmd
	pid    int
	stdin  io.WriteCloser
	answer chan string   // one line a command; closed when the process ends.
	ended  chan struct{} // closed when it has been waited for.
	killed bool          // by SIGKILL; valid after ended.

	counter []byte
	grown   *atomic.Int64
	stop    *atomic.Int64
}

// start runs a load in the group and tells deaths when it ends.
func (b *bench) start(t *testing.T, g *lab.Group, deaths chan<- *member) *member {
	t.Helper()
	m := &member{answer: make(chan string), ended: make(chan struct{})}
	m.cmd = exec.Command(b.load, "enter", g.File("cgroup.procs"))
	m.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	m.cmd.Stderr = os.Stderr
	var err error
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.pid = m.cmd.Process.Pid
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			m.answer <- lines.Text()
		}
		_ = m.cmd.Wait()
		status, ok := m.cmd.ProcessState.Sys().(syscall.WaitStatus)
		m.killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
		close(m.ended)
		close(m.answer)
		deaths <- m
	}()
	return m
}

var errEnded = errors.New("the load ended")

// do has the load carry out one command.
func (m *member) do(format string, args ...any) error {
	if _, err := fmt.Fprintf(m.stdin, format+"\n", args...); err != nil {
		return errEnded
	}
	answer, ok := <-m.answer
	switch {
	case !ok:
		return errEnded
	case answer != "ok":
		return errors.New(strings.TrimPrefix(answer, "error: "))
	}
	return nil
}

// must is do for what has to work.
func (m *member) must(t *testing.T, format string, args ...any) {
	t.Helper()
	err := m.do(format, args...)
	if errors.Is(err, errEnded) {
		<-m.ended
		err = fmt.Errorf("%w: %v", err, m.cmd.ProcessState)
	}
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// countGrowth lets the test read what the load has touched, also afterwards.
func (m *member) countGrowth(t *testing.T) {
	t.Helper()
	f, err := os.CreateTemp("/dev/shm", "oomx-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Truncate(page); err != nil {
		t.Fatal(err)
	}
	if m.counter, err = syscall.Mmap(int(f.Fd()), 0, page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	m.grown = (*atomic.Int64)(unsafe.Pointer(&m.counter[0]))
	m.stop = (*atomic.Int64)(unsafe.Pointer(&m.counter[8]))
	m.grown.Store(0) // the page is charged to the test.
	m.must(t, "count %s 0", f.Name())
}

// end kills the load and waits for it.
func (m *member) end() {
	_ = m.cmd.Process.Kill()
	m.stdin.Close()
	for range m.answer {
	}
	<-m.ended
	if m.counter != nil {
		_ = syscall.Munmap(m.counter)
		m.counter = nil
	}
}

// endAll ends the loads and returns when all their deaths have been told.
func endAll(t *testing.T, members []*member, deaths <-chan *member) {
	t.Helper()
	for _, m := range members {
		go m.end()
	}
	timeout := time.After(10 * time.Second)
	for _, m := range members {
		select {
		case <-m.ended:
		case <-timeout:
			t.Fatalf("load %d does not end", m.pid)
		}
	}
}

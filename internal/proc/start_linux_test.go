// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// When a process began is read once, and never taken for that of another one
// that has its PID: the kernel is made to use one again where it lets us.
func TestExactRemembersTheStart(t *testing.T) {
	f, err := New(Options{Root: "/proc", Refresh: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.scan.refresh <= 1 {
		t.Log("this kernel's scores do not tell, so nothing is remembered")
		return
	}
	run := func() (pid int32, end func()) {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return int32(cmd.Process.Pid), func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	}
	pid, end := run()
	first := oom.Process{PID: pid}
	for range 2 {
		if err := f.Exact(&first); err != nil || first.Start == 0 {
			t.Fatalf("%+v, %v", first, err)
		}
		if b := f.exact.began[pid]; b.start != first.Start {
			t.Errorf("remembered is %+v, want %d", b, first.Start)
		}
	}
	end()
	<-time.After(30 * time.Millisecond) // starts are told in hundredths of a second.
	for range 50 {
		_ = os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(int(pid)-1)), 0)
		again, end := run()
		if again != pid {
			end()
			continue
		}
		second, old := oom.Process{PID: pid}, first
		if err := f.Exact(&second); err != nil || second.Start <= first.Start {
			t.Errorf("another process with the PID began at %d, the first one at %d; %v", second.Start, first.Start, err)
		}
		if err := f.Exact(&old); !errors.Is(err, unix.ESRCH) {
			t.Errorf("the other process is taken for the first: %v", err)
		}
		end()
		return
	}
	t.Log("the PID was not used again")
}

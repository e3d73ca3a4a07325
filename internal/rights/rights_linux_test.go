// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The test runs this program again: rights are given up for good.
func TestDrop(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDropped$", "-test.v")
	cmd.Env = append(os.Environ(), "RIGHTS_WRITABLE="+dir, "RIGHTS_OTHER="+other)
	if err := os.WriteFile(filepath.Join(other, "file"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "PASS: TestDropped") {
		t.Errorf("it ended with %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(other, "file")); err != nil || string(b) != "precious" {
		t.Errorf("the file in another directory became %q, %v", b, err)
	}
}

// TestDropped is what TestDrop runs.
func TestDropped(t *testing.T) {
	dir, other := os.Getenv("RIGHTS_WRITABLE"), os.Getenv("RIGHTS_OTHER")
	if dir == "" {
		return
	}
	r, err := Drop(Options{Writable: []string{dir}})
	if errors.Is(err, syscall.ENOTSUP) && !r.NoNewPrivs && r.Landlock == 0 {
		return // linked with cgo, as the race detector does: it says so, and nothing is half done.
	}
	if err != nil || !r.NoNewPrivs || len(r.Capabilities) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
	file := filepath.Join(dir, "state")
	if err := errors.Join(os.WriteFile(file+".tmp", []byte("x"), 0o600), os.Rename(file+".tmp", file), os.Remove(file)); err != nil {
		t.Errorf("in the directory that may be written: %v", err)
	}
	if r.Landlock == 0 {
		t.Log("this kernel has no Landlock")
		return
	}
	attack(t, r.Landlock, dir, other)
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", os.Getppid())); err != nil {
		t.Errorf("the numbers of the parent: %v", err)
	}
	if err := syscall.Kill(os.Getpid(), 0); err != nil {
		t.Errorf("a signal to itself: %v", err)
	}
}

// attack tries what somebody who has taken over the program might; other belongs to
// the program's own user, with a file in it.
func attack(t *testing.T, version int, dir, other string) {
	t.Helper()
	file, parent := filepath.Join(other, "file"), fmt.Sprintf("/proc/%d/", os.Getppid())
	open := func(path string, flags int) error {
		f, err := os.OpenFile(path, flags, 0o600)
		if err == nil {
			err = f.Close()
		}
		return err
	}
	for _, a := range []struct {
		what  string
		since int // version of Landlock.
		try   func() error
	}{
		{"make a file", 1, func() error { return os.WriteFile(file+"2", nil, 0o600) }},
		{"write to a file", 1, func() error { return open(file, os.O_WRONLY) }},
		{"append to a file", 1, func() error { return open(file, os.O_APPEND|os.O_WRONLY) }},
		{"empty a file", 3, func() error { return os.Truncate(file, 0) }},
		{"remove a file", 1, func() error { return os.Remove(file) }},
		{"rename a file", 1, func() error { return os.Rename(file, file+"2") }},
		{"link a file into its own directory", 1, func() error { return os.Link(file, filepath.Join(dir, "link")) }},
		{"move a file into its own directory", 1, func() error { return os.Rename(file, filepath.Join(dir, "moved")) }},
		{"make a symbolic link", 1, func() error { return os.Symlink("/etc/passwd", filepath.Join(dir, "link")) }},
		{"make a FIFO", 1, func() error { return syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600) }},
		{"listen on a socket of the file system", 1, func() error { return listen("unix", filepath.Join(dir, "socket")) }},
		{"write to a device", 1, func() error { return open("/dev/null", os.O_WRONLY) }},
		{"set its own badness", 1, func() error { return open("/proc/self/oom_score_adj", os.O_WRONLY) }},
		{"run a program", 1, func() error { return exec.Command("/bin/true").Run() }},
		{"run itself again", 1, func() error { return exec.Command("/proc/self/exe").Run() }},
		{"read the parent's environment", 1, func() error { return open(parent+"environ", os.O_RDONLY) }},
		{"read the parent's memory", 1, func() error { return open(parent+"mem", os.O_RDONLY) }},
		{"enter the parent's root", 1, func() error { _, err := os.ReadDir(parent + "root/"); return err }},
		{"trace the parent", 1, func() error { return syscall.PtraceAttach(os.Getppid()) }},
		{"connect by TCP", 4, func() error {
			c, err := net.Dial("tcp", "127.0.0.1:1")
			if err == nil {
				err = c.Close()
			}
			return err
		}},
		{"listen by TCP", 4, func() error { return listen("tcp", "127.0.0.1:0") }},
		{"control a device", 5, func() error { return control("/dev/zero") }},
		{"send a signal to the parent", 7, func() error { return syscall.Kill(os.Getppid(), 0) }},
	} {
		if err := a.try(); version >= a.since && !errors.Is(err, os.ErrPermission) && !errors.Is(err, syscall.EXDEV) {
			t.Errorf("%s: %v", a.what, err)
		}
	}
}

// listen listens as most programs do: Landlock does not know multipath TCP.
func listen(network, address string) error {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	l, err := plain.Listen(context.Background(), network, address)
	if err == nil {
		err = l.Close()
	}
	return err
}

// control makes a request of a device that it does not know.
func control(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), 0x5401, 0); errno != 0 { // TCGETS.
		return errno
	}
	return nil
}

// Where a directory is not there, nothing can be written in it, and the rest is
// restricted all the same.
func TestDropWithoutDirectory(t *testing.T) {
	if os.Getenv("RIGHTS_MISSING") != "" {
		r, err := Drop(Options{Writable: []string{filepath.Join(t.TempDir(), "missing")}})
		if !errors.Is(err, syscall.ENOTSUP) && (err != nil || LandlockVersion() != r.Landlock) {
			t.Errorf("%+v, %v, and the kernel has version %d", r, err, LandlockVersion())
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDropWithoutDirectory$", "-test.v")
	cmd.Env = append(os.Environ(), "RIGHTS_MISSING=1")
	// Its own temporary directory can't be removed any more.
	if out, _ := cmd.CombinedOutput(); strings.Contains(string(out), "rights_linux_test.go") {
		t.Errorf("%s", out)
	}
}

func TestResultString(t *testing.T) {
	for want, r := range map[string]Result{
		"capabilities none, no_new_privs false, Landlock none":                               {},
		"capabilities CAP_SYSLOG,CAP_DAC_READ_SEARCH, no_new_privs true, Landlock version 7": {true, []string{"CAP_SYSLOG", "CAP_DAC_READ_SEARCH"}, 7},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

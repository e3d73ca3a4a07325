// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"errors"
	"fmt"
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
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "PASS: TestDropped") {
		t.Errorf("it ended with %v", err)
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
	if err := os.WriteFile(filepath.Join(other, "file"), nil, 0o600); !errors.Is(err, os.ErrPermission) {
		t.Errorf("another directory: %v", err)
	}
	if err := exec.Command("/bin/true").Run(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("running a program: %v", err)
	}
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid())); !errors.Is(err, os.ErrPermission) {
		t.Errorf("the environment of the parent: %v", err)
	}
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", os.Getppid())); err != nil {
		t.Errorf("the numbers of the parent: %v", err)
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

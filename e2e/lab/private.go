// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// PrivateRoot makes a directory that daemons may take for the host's root. At
// the end of the test it goes, with all that is mounted in it.
func PrivateRoot(t testing.TB) string {
	t.Helper()
	sweepRoots(t)
	// Not a test's own: sockets need a short path, and not a tmpfs: images are large.
	dir, err := os.MkdirTemp(privateRoots, fmt.Sprintf("oom-e2e-%d-", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeRoot(t, dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

const privateRoots = "/var/tmp"

func removeRoot(t testing.TB, dir string) {
	t.Helper()
	for _, mount := range slices.Backward(mountsBelow(t, dir)) {
		if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", mount, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// sweepRoots removes what test processes left that died before they could clean
// up: their daemons died with them, but not the shims and the containers.
func sweepRoots(t testing.TB) {
	t.Helper()
	roots, _ := filepath.Glob(privateRoots + "/oom-e2e-*-*")
	for _, dir := range roots {
		pid, err := strconv.Atoi(strings.Split(filepath.Base(dir), "-")[2])
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		t.Logf("%s is left of test process %d", dir, pid)
		for _, shim := range commands(dir + "/") {
			for _, child := range children(shim) {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
			_ = syscall.Kill(shim, syscall.SIGKILL)
		}
		removeRoot(t, dir)
	}
}

// commands finds the processes with that text in their command line.
func commands(text string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		cmdline, err := os.ReadFile(file)
		pid, err2 := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && err2 == nil && pid != os.Getpid() && strings.Contains(string(cmdline), text) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func children(pid int) []int {
	var pids []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		pids = append(pids, pidsIn(file)...)
	}
	return pids
}

func mountsBelow(t testing.TB, dir string) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.HasPrefix(f[1], dir+"/") {
			mounts = append(mounts, f[1])
		}
	}
	return mounts
}

// Vacate takes care of directories that daemons make outside of their root: one
// that is not there now goes at the end of the test, unless files are in it.
func Vacate(t testing.TB, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if Exists(dir) {
			continue
		}
		t.Cleanup(func() {
			var found []string
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.Type().IsRegular() {
					found = append(found, path)
				}
				return nil // not there: nothing was made.
			})
			for _, path := range slices.Backward(found) {
				_ = os.Remove(path)
			}
		})
	}
}

// OwnGroup claims a cgroup of the root, in all hierarchies, that a runtime will
// make and leave behind; the test is skipped where somebody uses it already.
func OwnGroup(t testing.TB, name string) {
	t.Helper()
	sweepRoots(t)
	gone := func() bool {
		sweepGroup(name)
		return len(groupDirs(name)) == 0
	}
	if left := groupDirs(name); !poll(2*time.Second, gone) {
		t.Skipf("needs the cgroup %s for itself; another runtime uses it", left[0])
	}
	t.Cleanup(func() {
		if !poll(20*time.Second, gone) {
			t.Errorf("cgroups are left: %v", groupDirs(name))
		}
	})
}

func groupDirs(name string) []string {
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if _, err := os.Stat("/sys/fs/cgroup/" + name); err == nil {
		dirs = append(dirs, "/sys/fs/cgroup/"+name)
	}
	return dirs
}

// sweepGroup removes the group where nothing runs in it.
func sweepGroup(name string) {
	for _, top := range groupDirs(name) {
		var dirs []string
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // vanished groups are what we want.
		})
		for _, dir := range slices.Backward(dirs) {
			_ = syscall.Rmdir(dir)
		}
	}
}

// KillGroup kills all that runs in the group and below; what is left of a
// runtime that failed.
func KillGroup(name string) {
	for _, top := range groupDirs(name) {
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "cgroup.procs" {
				for _, pid := range pidsIn(path) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			return nil // groups vanish while they are killed.
		})
	}
}

// Exists tells whether the file is there.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Debian unpacks Debian's packages, without what they depend on, into the
// cache and returns that tree. Nothing is installed: a package's own scripts
// would start its service. The test is skipped where a package can't be had.
func Debian(t testing.TB, packages ...string) string {
	t.Helper()
	root := filepath.Join(CacheDir(t), "debian")
	unlock := lockDir(t, root)
	defer unlock()
	for _, name := range packages {
		mark := filepath.Join(root, "unpacked", name)
		if _, err := os.Stat(mark); err == nil {
			continue
		}
		if err := unpackDebian(t.TempDir(), root, name); err != nil {
			t.Skipf("needs Debian's package %s: %v", name, err)
		}
		if err := os.MkdirAll(filepath.Dir(mark), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(mark, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// DebianPath is the environment's PATH with the programs of that tree in front.
func DebianPath(root string) string {
	return strings.Join([]string{root + "/usr/bin", root + "/usr/sbin", os.Getenv("PATH")}, ":")
}

// unpackDebian gets the package that apt would install; where apt knows none
// at all, its lists are fetched first.
func unpackDebian(dir, root, name string) error {
	download := func() error { return quiet(dir, "apt-get", "download", name) }
	if err := download(); err != nil {
		if quiet(dir, "apt-get", "update", "-qq") != nil {
			return err
		}
		if err := download(); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("apt-get download left %d files", len(files))
	}
	return quiet(dir, "dpkg", "-x", files[0], root)
}

func quiet(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// lockDir keeps other test processes out of the directory.
func lockDir(t testing.TB, dir string) (unlock func()) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() } // and the lock with it.
}

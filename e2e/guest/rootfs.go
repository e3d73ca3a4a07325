// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// rootMB is the size of the disk with the root file system.
const rootMB = 2048

// rootDisk makes a disk with the packages, what they depend on, and the files:
// the root of a guest whose first process is systemd. init.sh and the script
// run there as a service.
func (o *Options) rootDisk(t testing.TB, content map[string][]byte, disk string) {
	t.Helper()
	lab.Need(t, "mke2fs")
	dir := t.TempDir() + "/root"
	lab.Command(t, "cp", "-a", debianTree(t, o.Packages), dir)
	const unit = "/etc/systemd/system/oom.service"
	content["/etc/passwd"] = []byte("root:x:0:0:root:/:/bin/sh\ne2e:x:1000:1000::/home/e2e:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
	content["/etc/group"] = []byte("root:x:0:\ne2e:x:1000:\nnogroup:x:65534:\n")
	content["/etc/machine-id"] = []byte(strings.Repeat("01", 16) + "\n") // else systemd asks questions.
	content["/etc/hosts"] = []byte("127.0.0.1 localhost\n")
	content[unit] = []byte("[Service]\nExecStart=/oom/bin/busybox sh /oom/init\nStandardOutput=tty\nTTYPath=/dev/console\nDelegate=yes\n")
	for name, data := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o755)
		if strings.HasPrefix(name, "/etc/") {
			mode = 0o644
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, mount := range []string{"proc", "sys", "dev", "run", "tmp", "out"} {
		if err := os.MkdirAll(filepath.Join(dir, mount), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/oom/bin/busybox", filepath.Join(dir, "bin/sh")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	sparse(t, disk, rootMB)
	lab.Command(t, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0", "-m", "0", "-d", dir, disk)
}

// unwanted are packages that systemd's depend on for the sake of their scripts,
// which never run here.
var unwanted = []string{"debconf", "cdebconf", "dpkg", "install-info", "perl-base", "tar", "readline-common"}

// debianTree unpacks packages of the host's release with what they depend on
// into the cache, and returns that tree. It skips the test where they can't be
// had.
func debianTree(t testing.TB, packages []string) string {
	t.Helper()
	lab.Need(t, "apt-get", "apt-cache", "dpkg")
	sum := sha256.Sum256([]byte(strings.Join(packages, " ")))
	tree := filepath.Join(lab.CacheDir(t), "roots", hex.EncodeToString(sum[:6]))
	if lab.Exists(tree) {
		return tree
	}
	list, err := depends(packages)
	if err != nil {
		t.Skipf("needs Debian's packages: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(tree), "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	if _, err := apt(tmp, "apt-get", []string{"-oAPT::Sandbox::User=root"}, append([]string{"download"}, list...)...); err != nil {
		t.Skipf("needs Debian's packages: %v", err)
	}
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	for _, deb := range debs {
		lab.Command(t, "dpkg", "-x", deb, filepath.Join(tmp, "root"))
	}
	if err := os.Rename(filepath.Join(tmp, "root"), tree); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return tree
}

// depends lists the packages and all that they depend on.
func depends(packages []string) ([]string, error) {
	options := []string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"}
	out, err := exec.Command("apt-cache", append(options, packages...)...).Output()
	if err != nil {
		return nil, err
	}
	list := append(parseDepends(string(out)), packages...) // asked for by name, an unwanted one is wanted.
	slices.Sort(list)
	return slices.Compact(list), nil
}

// parseDepends reads what apt-cache depends --recurse prints: each package at
// the begin of a line, with what it depends on below it, indented. Packages in
// angle brackets are virtual.
func parseDepends(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		name := strings.TrimSpace(line)
		if line[0] == ' ' || line[0] == '|' || strings.HasPrefix(name, "<") || slices.Contains(unwanted, name) {
			continue
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

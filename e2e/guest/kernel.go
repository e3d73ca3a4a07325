// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// Kernel is a line of Debian's kernels for virtual machines.
type Kernel struct {
	Name  string // major.minor.
	suite string // where to look when the host's own package lists lack it.
}

// The kernels that the tests run on. K510 and K61 still have the memory
// controller of cgroup v1.
var (
	K510 = Kernel{Name: "5.10", suite: "bullseye"}
	K61  = Kernel{Name: "6.1", suite: "bookworm"}
	K612 = Kernel{Name: "6.12", suite: "trixie"}
)

// dir returns the directory of the unpacked package, fetched if need be. A
// kernel that cannot be had skips the test.
func (k Kernel) dir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(lab.CacheDir(t), "kernels", k.Name)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	lab.Need(t, "apt-get", "dpkg")
	tmp, err := os.MkdirTemp(lab.CacheDir(t), "kernel-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	if err := k.fetch(tmp); err != nil {
		t.Skipf("no kernel %s to be had: %v", k.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(tmp, "root"), dir); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return dir
}

// fetch unpacks the newest package of the line into tmp/root; nothing of the
// host's own system changes.
func (k Kernel) fetch(tmp string) error {
	var options []string
	name, err := k.newest(nil)
	if err != nil {
		if options, err = k.privateLists(tmp); err != nil {
			return err
		}
		if name, err = k.newest(options); err != nil {
			return err
		}
	}
	if _, err := apt(tmp, "apt-get", options, "download", name); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("download %s: got %d packages", name, len(debs))
	}
	_, err = apt(tmp, "dpkg", nil, "-x", debs[0], filepath.Join(tmp, "root"))
	return err
}

// newest asks the package lists for the newest package of the line.
func (k Kernel) newest(options []string) (string, error) {
	out, err := apt("", "apt-cache", options, "pkgnames", "linux-image-"+k.Name+".")
	if err != nil {
		return "", err
	}
	names := slices.DeleteFunc(strings.Fields(out), func(name string) bool {
		return !strings.HasSuffix(name, "-cloud-amd64-unsigned") && !strings.HasSuffix(name, "-cloud-amd64")
	})
	if len(names) == 0 {
		return "", fmt.Errorf("no package linux-image-%s.*-cloud-amd64", k.Name)
	}
	return slices.MaxFunc(names, compareVersions), nil
}

var digits = regexp.MustCompile(`\d+|\D+`)

// compareVersions orders names by the numbers in them.
func compareVersions(a, b string) int {
	return slices.CompareFunc(digits.FindAllString(a, -1), digits.FindAllString(b, -1), func(x, y string) int {
		if len(x) != len(y) && x[0] >= '0' && x[0] <= '9' && y[0] >= '0' && y[0] <= '9' {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
}

// privateLists reads the package lists of the kernel's own suite, from the
// mirror that the host uses, into tmp; it returns apt's options for them.
func (k Kernel) privateLists(tmp string) ([]string, error) {
	out, err := apt("", "apt-get", nil, "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(RELEASE)", "Created-By: Packages")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 3 || f[1] != "Debian" || strings.Contains(f[2], "-") {
			continue
		}
		source := fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", f[0], k.suite)
		list := filepath.Join(tmp, "sources.list")
		if err := os.WriteFile(list, []byte(source), 0o644); err != nil {
			return nil, err
		}
		options := []string{
			"-oDir::Etc::sourcelist=" + list, "-oDir::Etc::sourceparts=-",
			"-oDir::State::lists=" + filepath.Join(tmp, "lists"), "-oDir::Cache=" + filepath.Join(tmp, "cache"),
			"-oAcquire::Check-Valid-Until=false", "-oAPT::Sandbox::User=root", "-oAcquire::Languages=none",
		}
		for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
			if err := os.MkdirAll(filepath.Join(tmp, dir), 0o755); err != nil {
				return nil, err
			}
		}
		_, err := apt("", "apt-get", options, "update", "-qq", "--error-on=any")
		return options, err
	}
	return nil, errors.New("the host has no Debian archive in its package lists")
}

func apt(dir, program string, options []string, args ...string) (string, error) {
	cmd := exec.Command(program, append(options, args...)...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

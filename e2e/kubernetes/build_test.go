// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	// version is that of module/go.mod: the last minor that takes cgroup v1
	// without being asked.
	version     = "v1.34.4"
	helmVersion = "v3.22.0"
)

// binaries returns a directory with all of Kubernetes that a node needs. It is
// built once, in about ten minutes of CPU time, and kept in the cache.
func binaries(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(lab.CacheDir(t), "kubernetes-"+version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const pkg = "k8s.io/component-base/version.git"
	flags := fmt.Sprintf("-s -w -X %[1]sVersion=%[2]s -X %[1]sMajor=1 -X %[1]sMinor=34", pkg, version)
	for _, name := range []string{"kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"} {
		build(t, filepath.Join(dir, name), "module", func(out string) []string {
			return []string{"build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", out, "k8s.io/kubernetes/cmd/" + name}
		})
	}
	return dir
}

// helm is the client on the PATH, else a built one.
func helm(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("helm"); err == nil {
		return path
	}
	path := filepath.Join(lab.CacheDir(t), "bin", "helm-"+helmVersion)
	build(t, path, ".", func(out string) []string {
		t.Setenv("GOBIN", filepath.Dir(out)) // go install names the program itself.
		return []string{"install", "-trimpath", "-ldflags", "-s -w", "helm.sh/helm/v3/cmd/helm@" + helmVersion}
	})
	return path
}

// build runs go in the directory unless the program is there already, and
// skips the test where the modules can't be had.
func build(t *testing.T, path, dir string, args func(out string) []string) {
	t.Helper()
	if lab.Exists(path) {
		return
	}
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(path), "-"+helmVersion))
	cmd := exec.Command("nice", append([]string{"-n", "10", "go"}, args(out)...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	t.Logf("building %s", path)
	if b, err := cmd.CombinedOutput(); err != nil {
		if text := string(b); strings.Contains(text, "dial tcp") || strings.Contains(text, "no such host") {
			t.Skipf("needs the modules of %s: %s", path, text)
		}
		t.Fatalf("build %s: %v\n%s", path, err, b)
	}
	// By copy: the cache may be on another file system. Then by name, whole.
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	lab.Command(t, "cp", out, tmp)
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

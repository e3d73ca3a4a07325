// SPDX-License-Identifier: Apache-2.0

// Package charts_test renders the Helm chart and holds it against its promises.
package charts_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	chart     = "oom-exporter"
	manifests = "../docs/install/kubernetes.yaml"
	// What a chart is rendered for where a test does not say.
	kubernetes = "1.34.0"
	// oldest is the first version that the chart takes.
	oldest = "1.20.0"
	// images says where the images are, which the chart can't know.
	images = "testdata/images.values"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files match %s: %v", pattern, err)
	}
	return paths
}

// helm runs helm, or skips the test where it is not installed. It keeps helm
// away from the configuration of whoever runs the test.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("helm")
	if err != nil {
		t.Skip("helm is not on PATH (go install helm.sh/helm/v3/cmd/helm@v3.22.0)")
	}
	home := t.TempDir()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+os.DevNull)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return errs.String(), err
	}
	return out.String(), nil
}

// render returns the chart's objects, the dashboards shortened to a word each.
func render(t *testing.T, version string, args ...string) string {
	t.Helper()
	out, err := helm(t, append([]string{"template", "oom-exporter", chart, "--namespace", "oom-exporter", "--skip-tests", "--kube-version", version, "--values", images}, args...)...)
	if err != nil {
		t.Fatalf("helm template %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	for _, path := range glob(t, chart+"/files/dashboards/*.json") {
		text := strings.ReplaceAll(strings.TrimSpace(read(t, path)), "\n", "\n    ")
		out = strings.ReplaceAll(out, text, "(files/dashboards/"+filepath.Base(path)+")")
	}
	return out
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, path), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func caseName(path string) string { return strings.TrimSuffix(filepath.Base(path), "-values.yaml") }

// TestGolden renders each case of values.
func TestGolden(t *testing.T) {
	for _, path := range glob(t, chart+"/ci/*-values.yaml") {
		t.Run(caseName(path), func(t *testing.T) {
			golden(t, filepath.Join("testdata", caseName(path)+".yaml"), render(t, kubernetes, "--values", path))
		})
	}
}

// TestLint runs helm's own checks over each case.
func TestLint(t *testing.T) {
	for _, path := range glob(t, chart+"/ci/*-values.yaml") {
		if out, err := helm(t, "lint", "--strict", "--kube-version", kubernetes, "--values", images, "--values", path, chart); err != nil {
			t.Errorf("helm lint %s: %v\n%s", path, err, out)
		}
	}
}

// TestManifests holds the plain manifests against the chart's default.
func TestManifests(t *testing.T) {
	const head = `# SPDX-License-Identifier: Apache-2.0
#
# oom_exporter without Helm: kubectl apply -f kubernetes.yaml
# Put the address of your image in first; it stands once below.
# Generated from charts/oom-exporter with its default values, for Kubernetes 1.20 and later; a test holds it against the chart.
# What newer versions know more is missing (recursiveReadOnly): on nodes with cgroup v1 take the chart, with cgroup.v1=true.
---
apiVersion: v1
kind: Namespace
metadata:
  name: oom-exporter
  labels:
    # hostPID and hostPath volumes need it. The pods are not privileged.
    pod-security.kubernetes.io/enforce: privileged
`
	var out strings.Builder
	for line := range strings.Lines(render(t, oldest)) {
		if !strings.Contains(line, "helm.sh/chart:") && !strings.Contains(line, "managed-by: Helm") && !strings.HasPrefix(line, "# Source:") {
			out.WriteString(line)
		}
	}
	golden(t, manifests, head+out.String())
}

// TestOldKubernetes wants the field that it does not know left out.
func TestOldKubernetes(t *testing.T) {
	if out := render(t, "1.29.0"); strings.Contains(out, "recursiveReadOnly") || !strings.Contains(out, "readOnly: true") {
		t.Errorf("rendered for 1.29:\n%s", out)
	}
	if out := render(t, "1.30.0-eks-1"); !strings.Contains(out, "recursiveReadOnly: IfPossible") {
		t.Errorf("rendered for 1.30:\n%s", out)
	}
}

// TestSchemaRefuses wants a mistake in the values to be told before anything is
// installed.
func TestSchemaRefuses(t *testing.T) {
	for _, set := range []string{
		"hostPid=true",                              // a key that does not exist.
		"privileged=true",                           // there is no such switch.
		"unprivileged=yes please",                   // not a boolean.
		"unprivileged=true,kmsgDevice.enabled=true", // contradicts itself.
		"unprivileged=true,bpf.enabled=true",
		"bpf.mode=always",
		"log.level=verbose",
		"web.port=70000",
		"image.digest=sha256:12",
		"evictionThreshold=a lot",
		"podMonitor.interval=often",
		"prometheusRule.disabled[0]=KubePodCrashLooping",
		"cgroup.recursiveReadOnly=Maybe",
		"names.criSocket=unix:///run/x.sock",
		"names.criSocket=/run/x:y.sock", // Kubernetes refuses such a mount.
		"processTop=-1",
		"guard.policy=all",
		"guard.killsPerMinute=-1",
		"guard.criSocket=containerd.sock",
	} {
		out, err := helm(t, "template", "x", chart, "--kube-version", kubernetes, "--values", images, "--set", set)
		if err == nil {
			t.Errorf("--set %s is taken", set)
		} else if !strings.Contains(out, "schema") {
			t.Errorf("--set %s fails without the schema: %s", set, out)
		}
	}
}

// TestImageIsAsked wants helm to say which image it needs, and how to get it,
// before it installs pods that can't start.
func TestImageIsAsked(t *testing.T) {
	for set, want := range map[string]string{
		"web.port=10137": "--set image.repository=",
		"image.repository=,image.registry=r.example": "--set image.repository=",
		"image.repository=a,guard.enabled=true":      "--set guard.image.repository=",
	} {
		out, err := helm(t, "template", "x", chart, "--kube-version", kubernetes, "--set", set)
		if err == nil || !strings.Contains(out, want) || !strings.Contains(out, "make release") {
			t.Errorf("--set %s: %v\n%s", set, err, out)
		}
	}
	if out, err := helm(t, "template", "x", chart, "--kube-version", kubernetes, "--set", "image.repository=a"); err != nil {
		t.Errorf("with the exporter's image alone: %s", out)
	}
}

// TestNotes wants the notes to say what is missing. helm shows notes only to a
// cluster, so a copy of the chart has them in an object.
func TestNotes(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	wrapped := "notes: |\n  " + strings.ReplaceAll(read(t, chart+"/templates/NOTES.txt"), "\n", "\n  ")
	if err := os.WriteFile(dir+"/templates/notes.yaml", []byte(wrapped), 0o600); err != nil {
		t.Fatal(err)
	}
	notes := func(args ...string) string {
		out, err := helm(t, append([]string{"template", "oom-exporter", dir, "--kube-version", kubernetes, "--values", images, "--show-only", "templates/notes.yaml"}, args...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
	bare := notes()
	for _, want := range []string{"Nothing scrapes it yet", "The alerts are off", "exec ds/oom-exporter -- /oom_exporter doctor", "set cgroup.v1=true"} {
		if !strings.Contains(bare, want) {
			t.Errorf("the notes lack %q", want)
		}
	}
	full := notes("--set", "podMonitor.enabled=true,prometheusRule.enabled=true,unprivileged=true,hostPID=false,names.criSocket=/run/x.sock,cgroup.v1=true")
	for _, want := range []string{"Running unprivileged", "Running without hostPID", "rules the node"} {
		if !strings.Contains(full, want) {
			t.Errorf("the notes lack %q", want)
		}
	}
	if strings.Contains(full, "Nothing scrapes it") || strings.Contains(full, "alerts are off") || strings.Contains(full, "cgroup.v1") {
		t.Errorf("the notes ask for what is there:\n%s", full)
	}
}

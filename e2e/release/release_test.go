// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package release tests what `make release` makes, by installing it.
package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// made is where the release is, once a test has asked for it.
var made string

// built is the release for this machine's architecture, made once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "oom_exporter-release")
	if err != nil {
		return "", err
	}
	made = dir
	return dir, release("../..", dir)
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(made)
	os.Exit(code)
}

type releaseError struct {
	err error
	out []byte
}

func (e releaseError) Error() string { return e.err.Error() + "\n" + string(e.out) }

// release runs the script of a checkout, with more variables than the tests have.
func release(checkout, dist string, variables ...string) error {
	cmd := exec.Command("sh", "-c", `umask ${UMASK:-022} && exec "$0" "$1"`, filepath.Join(checkout, ".ci/release"), dist)
	cmd.Env = append(append(os.Environ(), "ARCHES="+runtime.GOARCH, "SOURCE_DATE_EPOCH=1790000000"), variables...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return releaseError{err, out}
	}
	return nil
}

// dist returns where the release is.
func dist(t *testing.T) string {
	t.Helper()
	lab.Root(t)
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// file returns the one file of the release that a pattern matches.
func file(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dist(t), pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v; want one file", pattern, found, err)
	}
	return found[0]
}

func version(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// TestReproducible: another copy of the same sources gives the same files byte
// for byte, in another directory, of somebody whose files others may not read, in
// another zone and with another locale.
func TestReproducible(t *testing.T) {
	first := dist(t)
	checkout, second := filepath.Join(t.TempDir(), "a b"), t.TempDir()
	lab.Command(t, "cp", "-a", "../../.", checkout)
	lab.Command(t, "chmod", "-R", "go=", checkout)
	if err := release(checkout, second, "UMASK=077", "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8"); err != nil {
		t.Fatal(err)
	}
	sums := func(dir string) string {
		b, err := os.ReadFile(filepath.Join(dir, "sha256sums.txt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if a, b := sums(first), sums(second); a != b {
		t.Errorf("two builds differ:\n%s\n%s", a, b)
	}
	if n := strings.Count(sums(first), "\n"); n < 9 {
		t.Errorf("the release has %d files:\n%s", n, sums(first))
	}
	check := exec.Command("sha256sum", "--check", "--quiet", "sha256sums.txt")
	check.Dir = first
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("the sums don't match the files: %v\n%s", err, out)
	}
}

// TestDeb installs the package on this machine, runs what it brings, and removes it.
func TestDeb(t *testing.T) {
	pkg := file(t, "*.deb")
	lab.Need(t, "dpkg", "systemd-analyze")
	if exec.Command("dpkg-query", "-W", "oom-exporter").Run() == nil {
		t.Fatal("oom-exporter is installed on this machine; the test would remove it")
	}
	files := strings.Fields(lab.Command(t, "sh", "-c", `dpkg-deb --fsys-tarfile "$1" | tar -t | grep -v '/$' | sed 's,^\.,,'`, "sh", pkg))
	lab.Command(t, "sh", "-euc", `cd "$1" && eval "$2"`, "sh", linkedCheckout(t), words(t, "docs/install/README.md", "dpkg --install"))
	installed := true
	remove := func() {
		if installed {
			installed = false
			lab.Command(t, "dpkg", "--purge", "oom-exporter")
		}
	}
	t.Cleanup(remove)

	for _, program := range []string{"oom_exporter", "oom_guard"} {
		if got := lab.Command(t, "/usr/bin/"+program, "--version"); !strings.Contains(got, program+", version "+version(t)) {
			t.Errorf("/usr/bin/%s is %s", program, got)
		}
		unit := "/lib/systemd/system/" + program + ".service"
		if text := lab.Command(t, "cat", unit); !strings.Contains(text, "ExecStart=/usr/bin/"+program) || strings.Contains(text, "/usr/local") {
			t.Errorf("%s does not start what is installed:\n%s", unit, text)
		}
		// It also tells of units of others that are wrong.
		out, _ := exec.Command("systemd-analyze", "verify", unit).CombinedOutput()
		for line := range strings.SplitSeq(string(out), "\n") {
			if strings.Contains(line, program+".service") {
				t.Errorf("systemd-analyze: %s", line)
			}
		}
	}
	checkCompletions(t)

	remove()
	for _, name := range files {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("%s stays after the package is gone: %v", name, err)
		}
	}
	if len(files) < 10 {
		t.Errorf("the package has %d files: %v", len(files), files)
	}
}

// TestRPM installs the package into an empty root and runs what it brings.
func TestRPM(t *testing.T) {
	pkg := file(t, "*.rpm")
	lab.Need(t, "rpm")
	root := t.TempDir()
	lab.Command(t, "rpm", "--root", root, "--install", "--nodeps", "--noscripts", "--ignorearch", pkg)
	if got := lab.Command(t, root+"/usr/bin/oom_exporter", "--version"); !strings.Contains(got, "version "+version(t)) {
		t.Errorf("the program is %s", got)
	}
	lab.Command(t, "rpm", "--root", root, "--erase", "--noscripts", "oom-exporter")
	if lab.Exists(root + "/usr/bin/oom_exporter") {
		t.Error("the program stays after the package is gone")
	}
}

// TestTarball: the archive has the program, and says its version.
func TestTarball(t *testing.T) {
	dir := t.TempDir()
	lab.Command(t, "tar", "-C", dir, "-xzf", file(t, "oom_exporter-*.linux-*.tar.gz"))
	programs, _ := filepath.Glob(dir + "/*/oom_exporter")
	if len(programs) != 1 {
		t.Fatalf("the archive has %v", programs)
	}
	if got := lab.Command(t, programs[0], "--version"); !strings.Contains(got, "version "+version(t)) {
		t.Errorf("the program is %s", got)
	}
}

// TestImages: containerd takes the archives, the exporter's by the page's words,
// and runs what is in them, as nobody.
func TestImages(t *testing.T) {
	checkout := linkedCheckout(t)
	c := lab.StartContainerd(t, lab.ContainerdOptions{Root: lab.PrivateRoot(t)})
	byPage := exec.Command("sh", "-euc", words(t, "docs/install/README.md", "ctr --namespace k8s.io images import"))
	byPage.Dir = checkout
	byPage.Env = append(os.Environ(), "PATH="+lab.DebianPath(lab.Debian(t, "containerd")), "CONTAINERD_ADDRESS="+c.Socket, "CONTAINERD_SNAPSHOTTER=native")
	if out, err := byPage.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", byPage.Args, err, out)
	}
	if got := c.Ctr(t, "--namespace", "k8s.io", "image", "list", "--quiet"); !slices.Contains(strings.Fields(got), "docker.io/library/oom-exporter:"+version(t)) {
		t.Errorf("kubelet finds %s", got)
	}
	for _, name := range []string{"oom-exporter", "oom-guard"} {
		c.Ctr(t, "image", "import", "--snapshotter", "native", file(t, name+"-*.oci.tar"))
		image := "docker.io/library/" + name + ":" + version(t)
		got := c.Ctr(t, "run", "--rm", "--snapshotter", "native", image, "version-of-"+name, "/"+strings.ReplaceAll(name, "-", "_"), "--version")
		if !strings.Contains(got, "version "+version(t)) {
			t.Errorf("%s says %s", image, got)
		}
	}
}

// TestChart: Helm renders the packaged chart as it does the one of the checkout.
func TestChart(t *testing.T) {
	archive := file(t, "oom-exporter-chart-*.tgz")
	lab.Need(t, "helm")
	render := func(chart string) string {
		return lab.Command(t, "helm", "template", "x", chart, "--set", "image.repository=registry.example/oom-exporter")
	}
	if got, want := render(archive), render("../../charts/oom-exporter"); got != want || !strings.Contains(got, "kind: DaemonSet") {
		t.Errorf("the packaged chart renders\n%s\nwant\n%s", got, want)
	}
}

// TestBillOfMaterials: it names the libraries that are linked, with their versions.
func TestBillOfMaterials(t *testing.T) {
	b, err := os.ReadFile(file(t, "oom_exporter-*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	for library := range strings.FieldsSeq(lab.Command(t, "sh", "-c",
		`cd ../.. && go list -deps -f '{{with .Module}}{{if .Version}}{{.Path}}@{{.Version}}{{end}}{{end}}' ./cmd/oom_exporter | sort -u`)) {
		if !strings.Contains(string(b), "pkg:golang/"+library) {
			t.Errorf("%s is missing", library)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package release

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// dockerScript runs dockerd in a network and mount namespace of its own, where
// Docker's usual directories and addresses are free, and a bridge and rules of
// a firewall are nobody else's.
const dockerScript = `set -eu
ip link set lo up
mount --bind "$ROOT/lib" /var/lib
mount --bind "$ROOT/run" /run
exec dockerd --config-file "$ROOT/none.json" --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs
`

// TestDockerRun starts the exporter by docker run as the page has it, beside
// another container, and asks it as the page does.
func TestDockerRun(t *testing.T) {
	lab.Root(t)
	lab.Need(t, "ip", "iptables", "unshare", "nsenter", "curl")
	lab.OwnGroup(t, "docker")
	d := startDocker(t)
	d.load(t, lab.Image{
		Ref: "oom-exporter:" + version(t), User: "65534:65534", Entrypoint: []string{"/oom_exporter"}, Files: map[string]string{"/oom_exporter": lab.Binary(t)},
	})
	d.load(t, lab.HogImage(t))
	d.must(t, fmt.Sprintf("docker run --detach --name neighbour --network none --memory 64m %s anon:8M stop", lab.HogName))
	d.must(t, words(t, "docs/install/README.md", "docker run"))
	ask := words(t, "docs/install/README.md", "curl -s localhost:10137/metrics")
	lab.Eventually(t, time.Minute, "the exporter answers at the published port", func() bool {
		out, err := d.sh(ask)
		return err == nil && strings.Contains(out, "\noom_node_kill_margin_bytes ")
	})
	m := lab.ParseMetrics(t, d.must(t, "curl -s localhost:10137/metrics"))
	for _, name := range []string{"oom_exporter", "neighbour"} {
		if !m.Has("oom_container_memory_usage_bytes", "container", name) {
			t.Errorf("the container %s is missing: %v", name, m.Find("oom_container_memory_usage_bytes"))
		}
	}
	if !m.Has("oom_next_victim_badness_bytes") {
		t.Error("the host's processes are not seen")
	}
	if up := m.Value(t, "oom_event_source_up", "source", "syslog"); up != 1 {
		t.Errorf("the kernel's log is not read: %v", up)
	}
}

// docker is a dockerd of the test's own and its namespaces.
type docker struct {
	pid  int
	path string
}

func startDocker(t *testing.T) docker {
	t.Helper()
	root, debian := lab.PrivateRoot(t), lab.Debian(t, "docker.io", "containerd", "runc", "tini")
	for _, dir := range []string{"lib", "run"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "none.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := docker{path: "PATH=" + lab.DebianPath(debian)}
	cmd := exec.Command("unshare", "--net", "--mount", "sh", "-c", dockerScript)
	cmd.Env = append(os.Environ(), d.path, "ROOT="+root)
	t.Cleanup(func() { lab.KillGroup("docker") })
	daemon := lab.StartDaemon(t, root, "dockerd", cmd)
	d.pid = daemon.PID
	daemon.Await(t, "dockerd answers", func() bool {
		_, err := d.sh("docker version")
		return err == nil
	})
	t.Cleanup(func() { _, _ = d.sh("docker rm --force $(docker ps --all --quiet)") })
	return d
}

// sh runs a command line where dockerd is.
func (d docker) sh(line string) (string, error) {
	cmd := exec.Command("nsenter", fmt.Sprintf("--target=%d", d.pid), "--net", "--mount", "sh", "-euc", line)
	cmd.Env = append(os.Environ(), d.path, "HOME=/nonexistent")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d docker) must(t *testing.T, line string) string {
	t.Helper()
	out, err := d.sh(line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// load gives an image to dockerd; its file is where both namespaces see it.
func (d docker) load(t *testing.T, image lab.Image) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	image.Write(t, file)
	d.must(t, "docker load --input "+file)
}

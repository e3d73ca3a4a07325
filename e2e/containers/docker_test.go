// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package containers_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// docker is a dockerd of the test's own and its client.
type docker struct {
	root, debian, socket string
}

func testDocker(t *testing.T) {
	lab.OwnGroup(t, "docker")
	d := startDocker(t)
	e := d.engine(t)
	e.check(t,
		watcher{"files", lab.StartExporter(t, "--path.rootfs="+d.root)},
		watcher{"socket", lab.StartExporter(t, "--path.rootfs="+t.TempDir(), "--docker.socket="+d.socket)},
	)
}

// startDocker runs dockerd, which starts a containerd of its own, without any
// network: a firewall's rules are not a test's to change.
func startDocker(t *testing.T) *docker {
	t.Helper()
	d := &docker{root: lab.PrivateRoot(t)}
	d.debian = lab.Debian(t, "docker.io", "containerd", "runc", "tini")
	d.socket = d.root + "/run/docker.sock"
	must(t, os.MkdirAll(d.root+"/run", 0o755))
	cmd := exec.Command(d.debian+"/usr/sbin/dockerd",
		"--data-root", d.root+"/var/lib/docker", "--exec-root", d.root+"/run/docker", "--pidfile", d.root+"/run/docker.pid",
		"--host", "unix://"+d.socket, "--config-file", d.root+"/none.json",
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none",
		"--storage-driver", "vfs", "--exec-opt", "native.cgroupdriver=cgroupfs")
	must(t, os.WriteFile(d.root+"/none.json", []byte("{}"), 0o644))
	cmd.Env = append(os.Environ(), "PATH="+lab.DebianPath(d.debian))
	lab.Vacate(t, "/run/containerd", "/var/lib/cni")
	t.Cleanup(func() { lab.KillGroup("docker") })
	lab.StartDaemon(t, d.root, "dockerd", cmd).Await(t, "dockerd answers", func() bool {
		_, err := d.run("version")
		return err == nil
	})
	t.Cleanup(func() {
		if ids, err := d.run("ps", "-aq"); err == nil && ids != "" {
			_, _ = d.run(append([]string{"rm", "-f"}, strings.Fields(ids)...)...)
		}
	})
	image := filepath.Join(t.TempDir(), "hog.tar")
	lab.HogImage(t).Write(t, image)
	d.must(t, "load", "-i", image)
	return d
}

func (d *docker) run(args ...string) (string, error) {
	cmd := exec.Command(d.debian+"/usr/bin/docker", append([]string{"-H", "unix://" + d.socket}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+d.root)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (d *docker) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.run(args...)
	if err != nil {
		t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
	return out
}

func (d *docker) engine(t *testing.T) engine {
	t.Helper()
	return engine{
		name: "dockerd", version: "docker " + d.must(t, "version", "--format", "{{.Server.Version}}"), runtime: "docker",
		labels: plainName,
		start: func(t *testing.T, name string, steps ...string) {
			d.must(t, runArgs("--detach", name, steps)...)
		},
		lose: func(t *testing.T, name string, steps ...string) {
			if _, err := d.run(runArgs("--rm", name, steps)...); err == nil {
				t.Error("a container whose PID 1 was killed ended well")
			}
		},
		remove: func(t *testing.T, name string) { d.must(t, "rm", "-f", name) },
		cgroup: func(t *testing.T, name string) string {
			return "/docker/" + d.must(t, "inspect", "--format", "{{.Id}}", name)
		},
	}
}

// runArgs is the command line of docker and podman.
func runArgs(mode, name string, steps []string) []string {
	return append([]string{"run", mode, "--network", "none", "--memory", fmt.Sprint(limit), "--name", name, lab.HogName}, steps...)
}

func plainName(name string) []string {
	return []string{"namespace", "", "pod", "", "container", name}
}

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

// podman needs no daemon: a conmon watches each container.
type podman struct{ root, debian string }

func testPodman(t *testing.T) {
	lab.OwnGroup(t, "libpod_parent")
	p := newPodman(t)
	e := p.engine(t)
	e.check(t, watcher{"storage", lab.StartExporter(t, "--path.rootfs="+p.root)})
}

func newPodman(t *testing.T) *podman {
	t.Helper()
	p := &podman{root: lab.PrivateRoot(t)}
	p.debian = lab.Debian(t, "podman", "conmon", "runc")
	config := p.root + "/.config/containers"
	must(t, os.MkdirAll(config, 0o755))
	must(t, os.WriteFile(config+"/policy.json", []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644))
	must(t, os.WriteFile(config+"/containers.conf", fmt.Appendf(nil, "[network]\nnetwork_config_dir = %q\n", p.root+"/cni"), 0o644))
	storage := fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", p.root+"/var/lib/containers/storage", p.root+"/run/containers")
	must(t, os.WriteFile(config+"/storage.conf", []byte(storage), 0o644))
	t.Cleanup(func() { lab.KillGroup("libpod_parent") })
	if out, err := p.run("info"); err != nil {
		t.Skipf("needs a podman that runs here: %v: %s", err, out)
	}
	t.Cleanup(func() { _, _ = p.run("rm", "--all", "--force", "--time", "0") })
	image := filepath.Join(t.TempDir(), "hog.tar")
	lab.HogImage(t).Write(t, image)
	p.must(t, "load", "-i", image)
	return p
}

func (p *podman) run(args ...string) (string, error) {
	global := []string{
		"--tmpdir", p.root + "/run/libpod", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
		"--runtime", p.debian + "/usr/sbin/runc", "--conmon", p.debian + "/usr/bin/conmon",
	}
	cmd := exec.Command(p.debian+"/usr/bin/podman", append(global, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+p.root, "XDG_CONFIG_HOME="+p.root+"/.config", "PATH="+lab.DebianPath(p.debian),
		"CONTAINERS_CONF="+p.root+"/.config/containers/containers.conf", "CONTAINERS_STORAGE_CONF="+p.root+"/.config/containers/storage.conf")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (p *podman) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.run(args...)
	if err != nil {
		t.Fatalf("podman %v: %v\n%s", args, err, out)
	}
	return out
}

func (p *podman) engine(t *testing.T) engine {
	t.Helper()
	// Without CAP_SYS_RESOURCE podman's own default limits can't be set.
	args := func(mode, name string, steps []string) []string {
		a := runArgs(mode, name, steps)
		return append([]string{a[0], "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}, a[1:]...)
	}
	return engine{
		name: "podman", version: p.must(t, "version", "--format", "{{.Client.Version}}"), runtime: "podman",
		labels: plainName,
		start: func(t *testing.T, name string, steps ...string) {
			p.must(t, args("--detach", name, steps)...)
		},
		lose: func(t *testing.T, name string, steps ...string) {
			if _, err := p.run(args("--rm", name, steps)...); err == nil {
				t.Error("a container whose PID 1 was killed ended well")
			}
		},
		remove: func(t *testing.T, name string) { p.must(t, "rm", "--force", "--time", "0", name) },
		cgroup: func(t *testing.T, name string) string {
			return "/libpod_parent/libpod-" + p.must(t, "inspect", "--format", "{{.Id}}", name)
		},
	}
}

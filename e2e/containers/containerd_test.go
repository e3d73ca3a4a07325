// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package containers_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestEngines runs them one after the other and ends with the table.
func TestEngines(t *testing.T) {
	lab.Root(t)
	t.Run("containerd", testContainerd)
	t.Run("docker", testDocker)
	t.Run("podman", testPodman)
	writeEvidence(t)
}

func testContainerd(t *testing.T) {
	lab.OwnGroup(t, "default")
	lab.OwnGroup(t, "kubepods")
	own := fmt.Sprintf("oom-e2e-ctr-%d", os.Getpid())
	lab.OwnGroup(t, own)
	c := lab.StartContainerd(t, lab.ContainerdOptions{Root: lab.PrivateRoot(t)})
	c.Import(t, lab.HogImage(t))
	c.Import(t, lab.Pause(t))
	version := c.Version(t)
	bundles := watcher{"bundles", lab.StartExporter(t, "--path.rootfs="+c.Root)}
	t.Run("ctr", func(t *testing.T) { ctr(c, version, "ctr", "/default/").check(t, watcher{"path", bundles.Exporter}) })
	t.Run("cgroup", func(t *testing.T) {
		e := ctr(c, version, "ctr --cgroup", "/"+own+"/pod1/")
		e.runtime = ""
		e.check(t, watcher{"path", bundles.Exporter})
	})
	t.Run("cri", func(t *testing.T) {
		socket := watcher{"CRI socket", lab.StartExporter(t, "--path.rootfs="+t.TempDir(), "--cri.socket="+c.Socket)}
		newCRI(t, c, version).engine().check(t, bundles, socket)
	})
}

// ctr is containerd's own client. Where the group is not containerd's default,
// nothing but its path is known of the container.
func ctr(c *lab.Containerd, version, name, group string) engine {
	run := func(t *testing.T, mode, id string, steps []string) error {
		args := []string{
			"run", mode, "--snapshotter", "native", "--memory-limit", fmt.Sprint(limit), "--cgroup", group + id,
			lab.HogName, id, "/hog",
		}
		if mode == "--rm" {
			return c.CtrFails(append(args, steps...)...)
		}
		c.Ctr(t, append(args, steps...)...)
		return nil
	}
	return engine{
		name: name, version: version, runtime: "containerd",
		labels: func(id string) []string {
			if group != "/default/" {
				id = group + id
			}
			return []string{"namespace", "", "pod", "", "container", id}
		},
		start: func(t *testing.T, id string, steps ...string) { _ = run(t, "--detach", id, steps) },
		lose: func(t *testing.T, id string, steps ...string) {
			if err := run(t, "--rm", id, steps); err == nil {
				t.Error("a container whose PID 1 was killed ended well")
			}
		},
		remove: func(t *testing.T, id string) {
			c.Ctr(t, "task", "rm", "--force", id)
			c.Ctr(t, "container", "rm", id)
		},
		cgroup: func(_ *testing.T, id string) string { return group + id },
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// Container says how runc runs the exporter: as a user without capabilities,
// on a read-only root, with the host's processes and network, but with a mount
// and a cgroup namespace of its own.
type Container struct {
	Rootfs string   // directory with the image's files.
	Args   []string // entry point and arguments.
	UID    int
	Env    []string
}

type object = map[string]any

// StartContainer runs the exporter in the container, with the host's /proc and
// cgroups mounted read-only under /host and the flags that say so, and waits
// until it is ready.
func StartContainer(t testing.TB, c Container) *Exporter {
	t.Helper()
	Root(t)
	Need(t, "runc")
	port := FreePort(t)
	args := slices.Concat(c.Args, []string{"--path.procfs=/host/proc", "--path.sysfs=/host/sys", "--web.listen-address=127.0.0.1:" + strconv.Itoa(port)})
	bundle := t.TempDir()
	state := filepath.Join(bundle, "state")
	cgroup := fmt.Sprintf("/oom-e2e-%d/%s", os.Getpid(), filepath.Base(filepath.Dir(bundle)))
	spec, err := json.Marshal(c.spec(args, cgroup))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), spec, 0o600); err != nil {
		t.Fatal(err)
	}
	name := path.Base(cgroup)
	t.Cleanup(func() {
		// runc made groups in every hierarchy; it removes them with the container.
		out, err := exec.Command("runc", "--root", state, "delete", "--force", name).CombinedOutput()
		if err != nil {
			t.Errorf("remove the container: %v: %s", err, out)
		}
		removeParents(path.Dir(cgroup))
	})
	p := Start(t, exec.Command("runc", "--root", state, "run", "--bundle", bundle, name))
	return AwaitExporter(t, p, port)
}

// spec is the part of the OCI runtime configuration that differs from nothing.
func (c Container) spec(args []string, cgroup string) object {
	readOnly := func(dir string) object {
		return object{"destination": "/host" + dir, "source": dir, "type": "bind", "options": []string{"rbind", "ro", "nosuid", "nodev", "noexec"}}
	}
	return object{
		"ociVersion": "1.0.2",
		"process": object{
			"args": args, "cwd": "/", "env": c.Env, "noNewPrivileges": true,
			"user": object{"uid": c.UID, "gid": c.UID}, "capabilities": object{},
		},
		"root": object{"path": c.Rootfs, "readonly": true},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			readOnly("/proc"), readOnly("/sys/fs/cgroup"),
		},
		"linux": object{
			"cgroupsPath": cgroup,
			"namespaces":  []object{{"type": "mount"}, {"type": "cgroup"}, {"type": "uts"}, {"type": "ipc"}},
		},
	}
}

// removeParents removes the directory that runc made above the container's
// groups, in every hierarchy where it is empty.
func removeParents(cgroup string) {
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroup)
	for _, dir := range append(dirs, "/sys/fs/cgroup"+cgroup) {
		_ = os.Remove(dir) // not empty or not there: not ours.
	}
}

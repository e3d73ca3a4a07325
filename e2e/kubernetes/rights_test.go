// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// rights is what the kernel lets a process do.
type rights struct{ uid, capabilities, seccomp, noNewPrivs string }

// checkRights compares the exporter's rights, as /proc has them, with the least
// that the profile needs.
func checkRights(t *testing.T, p pod, want rights) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", exporterPID(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.TrimSpace(value)
	}
	uid, _, _ := strings.Cut(status["Uid"], "\t")
	got := rights{uid, status["CapEff"], status["Seccomp"], status["NoNewPrivs"]}
	if got != want {
		t.Errorf("the exporter has the rights %+v, want %+v", got, want)
	}
	// Nor may it get more than it has.
	for _, set := range []string{"CapPrm", "CapBnd", "CapInh", "CapAmb"} {
		have, err := strconv.ParseUint(status[set], 16, 64)
		allowed, err2 := strconv.ParseUint(want.capabilities, 16, 64)
		if err != nil || err2 != nil || have&^allowed != 0 {
			t.Errorf("the exporter's %s is %s", set, status[set])
		}
	}
}

func exporterPID(t *testing.T, p pod) int {
	t.Helper()
	g := group(t, p.Status.ContainerStatuses[0])
	return int(g.Uint(t, "cgroup.procs"))
}

// checkReadOnly looks at every mount of the host's that the exporter sees, and
// then tries to write where writing would do harm.
func (n *node) checkReadOnly(t *testing.T, p pod, ownMounts ...string) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", exporterPID(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if mount := f[1]; mount == "/" || strings.HasPrefix(mount, "/sys") || strings.HasPrefix(mount, "/var") {
			seen++
			// A tmpfs is the container's own: runc puts cgroups of v1 into one.
			if f[2] != "tmpfs" && !slices.Contains(strings.Split(f[3], ","), "ro") {
				t.Errorf("the exporter may write to %s: %s", mount, line)
			}
		} else if !slices.Contains(ownMounts, mount) && !strings.HasPrefix(mount, "/proc") && !strings.HasPrefix(mount, "/dev") && !strings.HasPrefix(mount, "/etc") {
			t.Errorf("the exporter has the mount %s", line)
		}
	}
	if seen < 4 { // root, /sys, cgroups and logs.
		t.Errorf("only %d mounts were looked at:\n%s", seen, b)
	}
	h := lab.MemoryHierarchy(t)
	for _, file := range []string{path.Join(h.Mount, "cgroup.procs"), path.Join(h.Mount, "kubepods", "cgroup.procs"), "/var/log/pods/x", "/x"} {
		out, err := n.execIn(p, "/hog", "dirty:1:"+file, "exit:0")
		// Another user than root is refused sooner.
		if err == nil || !strings.Contains(out, "Read-only file system") && !strings.Contains(out, "Permission denied") {
			t.Errorf("a write to %s from the exporter's container: %v: %s", file, err, out)
		}
	}
}

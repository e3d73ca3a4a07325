// SPDX-License-Identifier: Apache-2.0

//go:build e2e && full

package kubernetes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const guestHead = `# Kills on a node with systemd and cgroup v2: the exporter, the kernel, kubelet

A virtual machine with systemd, containerd and kubelet (systemd driver) runs static pods whose processes run into limits; an API server
would be too slow there. The exporter is on the node, as root and (*no rights*) as a user without any right: it has the names of kubelet's log
directories and the counters, but not the kernel's log, so that a kill in a container or a service that is gone at once is told of its pod or its slice.
*kernel* is the number of processes in the "Killed process" lines of its log, and *pod's count* the oom_kill of the pod's memory.events, in which
the kernel counts the first victim of a group kill twice; kubelet sets memory.oom.group. *kubelet* is its ` + "`container_oom_events_total`" + `.

Written by ` + "`go test -tags e2e,full ./e2e/kubernetes -run TestGuest`" + ` with OOM_E2E_EVIDENCE set.

`

// guestResults is what was seen in the guest.
type guestResults struct {
	vm       *guest.VM
	systemd  string
	exporter lab.Metrics
}

var (
	killedLine = regexp.MustCompile(`Killed process (\d+) \(([^)]*)\)`)
	taskGroup  = regexp.MustCompile(`task_memcg=([^,]*),task=([^,]*),`)
	podSlice   = regexp.MustCompile(`^.*/kubepods[^/]*-pod[0-9a-f_]+\.slice`)
)

// killed are the processes of that name that the kernel's log tells of, and in
// how many lines it does.
func (r guestResults) killed(t *testing.T, comm string) (processes, lines int) {
	t.Helper()
	pids := map[string]bool{}
	for _, m := range killedLine.FindAllStringSubmatch(r.vm.File(t, "dmesg"), -1) {
		if comm == "" || m[2] == comm {
			pids[m[1]] = true
			lines++
		}
	}
	return len(pids), lines
}

// group is where the first victim of that name was.
func (r guestResults) group(t *testing.T, comm string) string {
	t.Helper()
	for _, m := range taskGroup.FindAllStringSubmatch(r.vm.File(t, "dmesg"), -1) {
		if m[2] == comm {
			return m[1]
		}
	}
	t.Errorf("the kernel's log has no group of %s", comm)
	return ""
}

// podCount is oom_kill of the memory.events of the pod around the group.
func (r guestResults) podCount(t *testing.T, group string) int {
	t.Helper()
	key := "/sys/fs/cgroup" + podSlice.FindString(group) + "/memory.events:oom_kill "
	for line := range strings.Lines(r.vm.File(t, "events")) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			if err != nil {
				t.Error(err)
			}
			return n
		}
	}
	t.Errorf("no counts of the pod around %s", group)
	return -1
}

// compare holds the exporter's counts against the kernel's.
func (r guestResults) compare(t *testing.T) {
	t.Helper()
	nobody := r.nobody(t)
	for _, v := range guestVictims {
		processes, lines := r.killed(t, v.comm)
		if got := v.counted(r.exporter); got != processes || processes != v.kills {
			t.Errorf("%s/%s has %d kills, the kernel killed %d, want %d", v.pod, v.container, got, processes, v.kills)
		}
		if got := r.podCount(t, r.group(t, v.comm)); got != lines {
			t.Errorf("the pod of %s counts %d, the log has %d lines", v.pod, got, lines)
		}
		if got := v.ofPod(nobody); got != processes {
			t.Errorf("without rights pod %s has %d kills, the kernel killed %d", v.pod, got, processes)
		}
		if !nobody.Has("oom_container_memory_usage_bytes", "namespace", shop, "pod", v.pod, "container", "calm") {
			t.Errorf("without rights there is no name of %s: %v", v.pod, nobody.Find("oom_container_memory_usage_bytes", "container", "calm"))
		}
	}
	processes, lines := r.killed(t, "")
	if all := int(lab.Keys(r.vm.File(t, "vmstat"))["oom_kill"]); all != lines {
		t.Errorf("the kernel counts %d kills, its log has %d lines", all, lines)
	}
	if got := int(r.exporter.Sum("oom_kill_duplicates_total")); got != lines-processes {
		t.Errorf("%d duplicates, want %d", got, lines-processes)
	}
	if got := r.exporter.Sum("oom_kills_total"); int(got) != processes {
		t.Errorf("%v kills in all, the kernel killed %d", got, processes)
	}
}

// ofPod is how many kills an exporter tells of the victim's pod.
func (v victim) ofPod(m lab.Metrics) int {
	return int(m.Sum("oom_container_kills_total", "namespace", shop, "pod", v.pod))
}

func (r guestResults) nobody(t *testing.T) lab.Metrics {
	t.Helper()
	return lab.ParseMetrics(t, r.vm.File(t, "nobody"))
}

// write writes the table where the environment says so.
func (r guestResults) write(t *testing.T) {
	t.Helper()
	kubelet, nobody := lab.ParseMetrics(t, strings.TrimSpace(r.vm.File(t, "cadvisor"))+"\n"), r.nobody(t)
	var b strings.Builder
	b.WriteString(guestHead)
	fmt.Fprintf(&b, "Linux %s, cgroup v2, systemd %s, Kubernetes %s, %s.\n\n", guest.K61.Name, r.systemd, version, time.Now().UTC().Format(time.DateOnly))
	b.WriteString("| pod | container | group | exporter | kernel | pod's count | no rights | kubelet |\n|---|---|---|---|---|---|---|---|\n")
	for _, v := range guestVictims {
		group := r.group(t, v.comm)
		processes, _ := r.killed(t, v.comm)
		events := "no series"
		if kubelet.Has("container_oom_events_total", v.labels()...) {
			events = fmt.Sprint(kubelet.Sum("container_oom_events_total", v.labels()...))
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` | %d | %d | %d | %d | %s |\n", v.pod, v.container, shorten(group), v.counted(r.exporter), processes,
			r.podCount(t, group), v.ofPod(nobody), events)
	}
	unit, _ := r.killed(t, "unit")
	fmt.Fprintf(&b, "| | memhog.service | `%s` | %.0f | %d | | %.0f | |\n", r.group(t, "unit"),
		r.exporter.Sum("oom_container_kills_total", "container", "memhog.service"), unit, nobody.Sum("oom_container_kills_total", "container", "memhog.service"))
	t.Log(b.String())
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" || t.Failed() {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "kubernetes-v2.md"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

var longID = regexp.MustCompile(`[0-9a-f]{32,64}`)

// shorten cuts the ids of a path.
func shorten(path string) string {
	return longID.ReplaceAllStringFunc(path, func(id string) string { return id[:6] + "…" })
}

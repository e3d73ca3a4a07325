// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	guardImage = "docker.io/library/oom-guard"
	guardName  = release + "-guard" // of the DaemonSet and the service account.
)

// killAndNice is CAP_KILL, number 5, and CAP_SYS_NICE, number 23.
const killAndNice = "0000000000800020"

// checkGuard switches the chart's guard on with the policy container: a pod
// that leaks ends before its limit, and the API server has the Event.
func (n *node) checkGuard(t *testing.T, helm string, log *lab.KernelLog) {
	n.containerd.Import(t, lab.Image{Ref: guardImage + ":e2e", Entrypoint: []string{"/oom_guard"}, Files: map[string]string{"/oom_guard": lab.Guard(t)}})
	guard := n.installGuard(t, helm)
	checkRights(t, guard, rights{uid: "0", capabilities: killAndNice, seccomp: "2", noNewPrivs: "1"})
	t.Run("api", func(t *testing.T) { n.checkGuardAPI(t, guard) })

	begun, all, node := time.Now(), log.All(t), lab.NodeKills(t)
	n.mustKubectl(t, "apply", "-f", n.manifest(t, "guard.yaml"))
	var e event
	lab.Eventually(t, ready, "the Event of the second kill", func() bool {
		for _, e = range n.guardEvents(t) {
			if e.InvolvedObject.Name == "leak" && e.Count >= 2 {
				return true
			}
		}
		return false
	})
	took := time.Since(begun)
	p, events := n.pod(t, shop, "leak"), n.guardEvents(t)
	n.mustKubectl(t, "-n", shop, "delete", "pod", "leak", "--wait", "--timeout="+ready.String())

	if len(events) != 1 {
		t.Errorf("the Events of the guard are %+v, want one, on the leak", events)
	}
	if e.Reason != "OomGuardKillContainer" || e.InvolvedObject.UID != p.Metadata.UID || e.InvolvedObject.FieldPath != "spec.containers{main}" ||
		e.Source.Host != nodeName || e.Type != "Warning" || !strings.Contains(e.Message, `killed container "main" before the kernel had to`) {
		t.Errorf("the Event is %+v", e)
	}
	main, calm := p.container(t, "main"), p.container(t, "calm")
	ended := main.LastState.Terminated
	if ended == nil || ended.Reason != "Error" || main.RestartCount == 0 {
		t.Errorf("the leaking container: %s, restarts %d; want it ended, and not by an OOM", main.describe(), main.RestartCount)
	}
	if calm.State.Running == nil || calm.RestartCount != 0 {
		t.Errorf("the container beside it: %s, restarts %d", calm.describe(), calm.RestartCount)
	}
	kernel := log.Kills(t, victim{comm: "leak"}.process())
	if kernel != 0 {
		t.Errorf("the kernel killed %d of the leaks", kernel)
	}
	m := n.scrape(t, guardURL(guard))
	killed, sent := m.Sum("oom_guard_actions_total", "policy", "container", "outcome", "killed"), m.Sum("oom_guard_kubernetes_events_total", "result", "sent")
	if killed < 2 || killed != sent || m.Sum("oom_guard_kubernetes_events_total", "result", "failed") != 0 {
		t.Errorf("%v containers killed, %v Events sent", killed, sent)
	}
	for _, v := range victims { // what lived before lives on.
		if !v.lives {
			continue
		}
		if c := n.pod(t, shop, v.pod).container(t, v.container); c.State.Running == nil {
			t.Errorf("%s: %s", v.pod, c.describe())
		}
	}
	writeGuard(t, guardSeen{
		runtime: n.containerd.Version(t), kernel: kernel, vmstat: int(lab.NodeKills(t)-node) - (log.All(t) - all),
		killed: killed, event: e, main: main, took: took,
	})
}

// installGuard upgrades to the chart with the guard, and returns its pod. It
// may touch nothing but the namespace of the test's pods: other groups of this
// host are none of its business.
func (n *node) installGuard(t *testing.T, helm string) pod {
	t.Helper()
	args := []string{
		"upgrade", "--install", release, filepath.Join(lab.Repository(t), "charts", "oom-exporter"), "--namespace", namespace,
		"--set", "image.repository=" + imageName, "--set", "image.tag=e2e", "--set", "state.hostPath=" + n.root + "/state",
		"--set", "guard.enabled=true", "--set", "guard.policy=container", "--set", "guard.killsPerMinute=600",
		"--set", "guard.image.repository=" + guardImage, "--set", "guard.image.tag=e2e",
		"--set", "guard.extraArgs={--include.namespace=" + shop + "}",
	}
	if lab.MemoryHierarchy(t).Version == 1 {
		args = append(args, "--set", "cgroup.v1=true")
	}
	if out, err := n.client(helm, args...).CombinedOutput(); err != nil {
		t.Fatalf("helm %v: %v\n%s", args, err, out)
	}
	n.mustKubectl(t, "-n", namespace, "rollout", "status", "daemonset/"+guardName, "--timeout="+ready.String())
	pods := n.pods(t, "-n", namespace, "-l", "app.kubernetes.io/name="+guardName)
	if len(pods) != 1 {
		t.Fatalf("%d pods of the guard", len(pods))
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := n.kubectl("logs", "-n", namespace, pods[0].Metadata.Name)
			t.Logf("the guard's log:\n%s", out)
		}
	})
	return pods[0]
}

func guardURL(guard pod) string { return fmt.Sprintf("http://%s:10138/metrics", guard.Status.PodIP) }

// pod is one pod.
func (n *node) pod(t *testing.T, namespace, name string) pod {
	t.Helper()
	var p pod
	if err := json.Unmarshal([]byte(n.mustKubectl(t, "get", "pod", "-n", namespace, name, "-o", "json")), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p pod) container(t *testing.T, name string) containerStatus {
	t.Helper()
	all := slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses)
	i := slices.IndexFunc(all, func(s containerStatus) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("%s has no container %s", p.Metadata.Name, name)
	}
	return all[i]
}

// event is the part of an Event that the test looks at.
type event struct {
	Reason, Message, Type string
	Count                 int
	InvolvedObject        struct{ Name, UID, FieldPath string }
	Source                struct{ Component, Host string }
}

// guardEvents are those that the guard has written, on any pod.
func (n *node) guardEvents(t *testing.T) []event {
	t.Helper()
	var list struct{ Items []event }
	if err := json.Unmarshal([]byte(n.mustKubectl(t, "get", "events", "-A", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(e event) bool { return e.Source.Component != "oom-guard" })
}

// guardSeen is what the table says.
type guardSeen struct {
	runtime        string
	kernel, vmstat int
	killed         float64
	event          event
	main           containerStatus
	took           time.Duration
}

func writeGuard(t *testing.T, s guardSeen) {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# oom_guard on a real Kubernetes node\n\nLinux %s, cgroup v%d, Kubernetes %s (cgroupfs driver), %s, %s.\n\n", unix.ByteSliceToString(u.Release[:]),
		lab.MemoryHierarchy(t).Version, version, s.runtime, time.Now().UTC().Format(time.DateOnly))
	b.WriteString("The chart with `guard.enabled=true` and the policy container. A container under a limit of 128 MiB fills 112 MiB and then grows by 4 MiB/s, in a\n" +
		"child of its PID 1; it is restarted and does it again, beside a container that does not grow. *kernel* is its \"Killed process\" lines for the leak;\n" +
		"*without a line* is what /proc/vmstat counts beyond all such lines. The Event was read from the API server. With the guard's own token a\n" +
		"request of every other kind is refused, and the API server's own list of its rights has events alone: create and patch.\n\n")
	b.WriteString("| ended by the guard | kernel | without a line | restarts | pod status | Event | its count | its message | both ends after |\n|---|---|---|---|---|---|---|---|---|\n")
	fmt.Fprintf(&b, "| %.0f | %d | %d | %d | %s | %s on `%s` | %d | %s | %.0f s |\n", s.killed, s.kernel, s.vmstat, s.main.RestartCount, s.main.describe(),
		s.event.Reason, s.event.InvolvedObject.FieldPath, s.event.Count, s.event.Message, s.took.Seconds())
	t.Log("\n" + b.String())
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" || t.Failed() {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "guard-kubernetes.md"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

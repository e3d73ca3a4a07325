// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// late is how long the exporter may take to publish a kill, on a busy machine.
const late = time.Minute

// victim is a container of testdata that the kernel kills in.
type victim struct {
	pod, container string
	comm           string // of what dies, with this run's tag behind it.
	kills          int    // at least.
	lives          bool   // PID 1 does.
}

var victims = []victim{
	{"guaranteed", "main", "guar", 1, false},
	{"burstable", "main", "burst", 1, false},
	{"besteffort", "main", "best", 1, false},
	{"init", "setup", "init", 1, false},
	{"sidecar", "proxy", "side", 1, false},
	{"native", "proxy", "nat", 1, true},
	{"child", "main", "child", 3, true},
	{"static-" + nodeName, "main", "stat", 1, true},
	{"crash", "main", "crash", 5, false},
}

func (v victim) labels() []string {
	return []string{"namespace", shop, "pod", v.pod, "container", v.container}
}

func (v victim) process() string { return v.comm + "-" + tag() }

func tag() string { return fmt.Sprint(os.Getpid() % 1e6) }

func (v victim) counted(m lab.Metrics) int {
	return int(m.Sum("oom_container_kills_total", v.labels()...))
}

// manifest is a file of testdata for this run.
func (n *node) manifest(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return n.write(t, "pods/"+name, strings.ReplaceAll(string(b), "TAG", tag()))
}

// runVictims runs the pods of testdata until all kills have happened.
func (n *node) runVictims(t *testing.T, log *lab.KernelLog) map[victim]status {
	t.Helper()
	n.mustKubectl(t, "apply", "-f", n.manifest(t, "pods.yaml"))
	if err := os.Rename(n.manifest(t, "static.yaml"), n.root+"/manifests/static.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, v := range victims {
		lab.Eventually(t, ready, fmt.Sprintf("%d kills in %s", v.kills, v.pod), func() bool { return log.Kills(t, v.process()) >= v.kills })
	}
	// The pod status follows within seconds.
	var statuses map[victim]status
	lab.Eventually(t, ready, "kubelet has seen the containers that died", func() bool {
		statuses = n.statuses(t)
		for _, v := range victims {
			if !v.lives && !strings.Contains(statuses[v].text, "OOMKilled") {
				return false
			}
		}
		return true
	})
	n.mustKubectl(t, "-n", shop, "delete", "pod", "crash", "--wait", "--timeout="+ready.String())
	return statuses
}

// status is what Kubernetes says of a container.
type status struct {
	text      string // of the pod's status.
	oomEvents string // kubelet's container_oom_events_total.
}

func (n *node) statuses(t *testing.T) map[victim]status {
	t.Helper()
	kubelet := n.scrape(t, "http://"+nodeIP+":10255/metrics/cadvisor")
	all := map[victim]status{}
	for _, p := range n.pods(t, "-n", shop) {
		for _, v := range victims {
			if v.pod != p.Metadata.Name {
				continue
			}
			s := status{oomEvents: "no series"}
			if kubelet.Has("container_oom_events_total", v.labels()...) {
				s.oomEvents = fmt.Sprint(kubelet.Sum("container_oom_events_total", v.labels()...))
			}
			for _, c := range append(p.Status.ContainerStatuses, p.Status.InitContainerStatuses...) {
				if c.Name == v.container {
					s.text = fmt.Sprintf("%s; %s, restarts %d", p.Status.Phase, c.describe(), c.RestartCount)
				}
			}
			all[v] = s
		}
	}
	return all
}

// describe is a container's state, and how it ended before, if it did.
func (s containerStatus) describe() string {
	text := "unknown"
	switch {
	case s.State.Running != nil:
		text = "running"
	case s.State.Waiting != nil:
		text = s.State.Waiting.Reason
	case s.State.Terminated != nil:
		text = s.State.Terminated.Reason
	}
	if s.LastState.Terminated != nil {
		text += ", before " + s.LastState.Terminated.Reason
	}
	return text
}

// ownCounts compares the groups of the containers that live with the log.
func (n *node) ownCounts(t *testing.T, log *lab.KernelLog) {
	t.Helper()
	for _, p := range n.pods(t, "-n", shop) {
		for _, v := range victims {
			if v.pod != p.Metadata.Name || !v.lives {
				continue
			}
			for _, c := range append(p.Status.ContainerStatuses, p.Status.InitContainerStatuses...) {
				if c.Name != v.container {
					continue
				}
				g := group(t, c)
				kills, _ := g.Kills(t)
				if got, want := int(kills), log.Kills(t, v.process()); got != want {
					t.Errorf("the group of %s/%s counts %d kills, the log %d", v.pod, v.container, got, want)
				}
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	imageName = "docker.io/library/oom-exporter"
	release   = "oom-exporter"
	// The names of the logs that a dead test left begin with these.
	namespace = "e2e-monitoring"
	shop      = "e2e-shop"
)

// pod is the part of a pod that the tests look at.
type pod struct {
	Metadata struct{ Name, UID, DeletionTimestamp string }
	Status   struct {
		Phase, PodIP                             string
		Conditions                               []struct{ Type, Status string }
		ContainerStatuses, InitContainerStatuses []containerStatus
	}
}

type containerStatus struct {
	Name, ContainerID string
	RestartCount      int
	State, LastState  struct {
		Running    *struct{}
		Waiting    *struct{ Reason string }
		Terminated *struct{ Reason string }
	}
}

func (n *node) pods(t *testing.T, args ...string) []pod {
	t.Helper()
	var list struct{ Items []pod }
	out := n.mustKubectl(t, append([]string{"get", "pods", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// importImages loads what the pods run. The exporter's image has the hog beside
// the exporter, so that a test may try things in its container.
func (n *node) importImages(t *testing.T) {
	t.Helper()
	n.containerd.Import(t, lab.Pause(t))
	n.containerd.Import(t, lab.HogImage(t))
	n.containerd.Import(t, lab.Image{
		Ref: imageName + ":e2e", User: "65534:65534", Entrypoint: []string{"/oom_exporter"},
		Files: map[string]string{"/oom_exporter": lab.Binary(t), "/hog": lab.Hog(t)},
	})
}

// install installs or upgrades the chart with more arguments of helm's, and
// returns the exporter's pod when it is ready.
func (n *node) install(t *testing.T, helm string, args ...string) pod {
	t.Helper()
	chart := filepath.Join(lab.Repository(t), "charts", "oom-exporter")
	if lab.MemoryHierarchy(t).Version == 1 {
		args = append(args, "--set", "cgroup.v1=true")
	}
	args = slices.Concat([]string{
		"upgrade", "--install", release, chart, "--namespace", namespace, "--create-namespace",
		"--set", "image.repository=" + imageName, "--set", "image.tag=e2e", "--set", "state.hostPath=" + n.root + "/state",
	}, args)
	if out, err := n.client(helm, args...).CombinedOutput(); err != nil {
		t.Fatalf("helm %v: %v\n%s", args, err, out)
	}
	n.mustKubectl(t, "-n", namespace, "rollout", "status", "daemonset/"+release, "--timeout="+ready.String())
	return n.exporter(t, namespace)
}

// exporter is a namespace's pod when it is the only one and ready.
func (n *node) exporter(t *testing.T, of string) pod {
	t.Helper()
	var p pod
	lab.Eventually(t, ready, "the exporter's pod is ready", func() bool {
		pods := n.pods(t, "-n", of)
		if len(pods) != 1 || pods[0].Metadata.DeletionTimestamp != "" {
			return false
		}
		p = pods[0]
		return slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status string }) bool {
			return c.Type == "Ready" && c.Status == "True"
		})
	})
	return p
}

// scrapePod scrapes the exporter in the pod as Prometheus would.
func (n *node) scrapePod(t *testing.T, p pod) lab.Metrics {
	t.Helper()
	return n.scrape(t, fmt.Sprintf("http://%s:10137/metrics", p.Status.PodIP))
}

// keepScraping scrapes the exporter as often as a Prometheus may, until stop.
func (n *node) keepScraping(p pod) (stop func()) {
	tick, done, ended := time.NewTicker(5*time.Second), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				n.ok(fmt.Sprintf("http://%s:10137/metrics", p.Status.PodIP)) // the tests look at what comes later.
			}
		}
	}()
	return func() {
		tick.Stop()
		close(done)
		<-ended
	}
}

// execIn runs a program in the exporter's container.
func (n *node) execIn(p pod, args ...string) (string, error) {
	return n.kubectl(slices.Concat([]string{"exec", "-n", namespace, p.Metadata.Name, "--"}, args)...)
}

// group is the memory group of a container.
func group(t *testing.T, s containerStatus) lab.Group {
	t.Helper()
	h := lab.MemoryHierarchy(t)
	_, id, _ := strings.Cut(s.ContainerID, "://")
	for _, pattern := range []string{"/kubepods/pod*/", "/kubepods/*/pod*/"} {
		if found, _ := filepath.Glob(h.Mount + pattern + id); len(found) == 1 {
			return lab.Group{Hierarchy: h, Path: strings.TrimPrefix(found[0], h.Mount)}
		}
	}
	t.Fatalf("no memory group of %s %q", s.Name, id)
	return lab.Group{}
}

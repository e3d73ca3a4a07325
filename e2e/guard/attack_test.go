// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// fakeCRI is a CRI runtime that knows one container, and notes which are stopped.
type fakeCRI struct {
	runtimev1.UnimplementedRuntimeServiceServer
	container *runtimev1.Container
	pid       int

	mu      sync.Mutex
	stopped []string
}

func (r *fakeCRI) ListContainers(context.Context, *runtimev1.ListContainersRequest) (*runtimev1.ListContainersResponse, error) {
	return &runtimev1.ListContainersResponse{Containers: []*runtimev1.Container{r.container}}, nil
}

func (r *fakeCRI) ListPodSandbox(context.Context, *runtimev1.ListPodSandboxRequest) (*runtimev1.ListPodSandboxResponse, error) {
	return &runtimev1.ListPodSandboxResponse{}, nil
}

func (r *fakeCRI) ContainerStatus(context.Context, *runtimev1.ContainerStatusRequest) (*runtimev1.ContainerStatusResponse, error) {
	return &runtimev1.ContainerStatusResponse{
		Status: &runtimev1.ContainerStatus{Id: r.container.Id, State: runtimev1.ContainerState_CONTAINER_RUNNING, Labels: r.container.Labels},
		Info:   map[string]string{"info": fmt.Sprintf(`{"pid":%d}`, r.pid)},
	}, nil
}

func (r *fakeCRI) StopContainer(_ context.Context, q *runtimev1.StopContainerRequest) (*runtimev1.StopContainerResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = append(r.stopped, q.ContainerId)
	return &runtimev1.StopContainerResponse{}, nil
}

func (r *fakeCRI) calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.stopped...)
}

// serveCRI serves a runtime on a socket.
func serveCRI(t *testing.T, r *fakeCRI) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "cri.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	runtimev1.RegisterRuntimeServiceServer(s, r)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return socket
}

// attacked is the limit of the groups that attack, in MiB. It leaves half a second
// from where the guard can be certain of a leak to the limit, since the test is
// about whom it ends and not about how soon.
const attacked = 128

// TestAttacks has leaks in groups that are called as somebody else's container,
// that hold an empty group with the name of one, or a helper with the name of a
// daemon: the leak is ended, and nothing else.
func TestAttacks(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	crowd(t)
	const victimUID, ownUID = "01234567-89ab-cdef-0123-456789abcdef", "11234567-89ab-cdef-0123-456789abcdef"
	victimID, ownID := strings.Repeat("0a", 32), strings.Repeat("1b", 32)
	victimGroup := lab.NewGroup(t, path.Join(root, "kubepods/pod"+victimUID, victimID), 512*mib)
	victim := start(t, hog, victimGroup, "anon:30M", "say:up")
	victim.WaitLine(t, "up")
	r := &fakeCRI{pid: victim.PID, container: &runtimev1.Container{
		Id: victimID, Metadata: &runtimev1.ContainerMetadata{Name: "victim"}, State: runtimev1.ContainerState_CONTAINER_RUNNING,
		Labels: map[string]string{
			"io.kubernetes.pod.uid": victimUID, "io.kubernetes.pod.name": "victim", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.container.name": "main",
		},
	}}
	own := path.Join(root, "kubepods/pod"+ownUID, ownID)
	var b strings.Builder
	for _, c := range []struct {
		name, dir, inside, child, helper string
	}{
		{"a name below the own container", own, "nested/cri-containerd-" + victimID + ".scope", "", ""},
		{"a name in a user's slice", path.Join(root, "user.slice/user-1000.slice/cri-containerd-"+victimID+".scope"), "", "", ""},
		{"an empty group in the container", path.Join(root, "plain/container"), "", strings.Repeat("2c", 32), ""},
		{"a helper named sshd", path.Join(root, "kubepods/pod"+ownUID, strings.Repeat("3d", 32)), "", "", "comm:sshd"},
	} {
		group := lab.NewGroup(t, c.dir, attacked*mib)
		in := group
		if c.inside != "" {
			in = lab.NewGroup(t, path.Join(c.dir, c.inside), lab.Unlimited)
		}
		if c.child != "" {
			child := group.File(c.child) // with one mkdir, as who runs in it can.
			if err := os.Mkdir(child, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(child) })
		}
		if c.helper != "" {
			start(t, hog, group, c.helper, "anon:1M", "say:up").WaitLine(t, "up")
		}
		port := lab.FreePort(t)
		g := awaitGuard(t, binary, port, []string{
			"--policy=container", "--kills-per-minute=60000", "--kill-switch=" + filepath.Join(t.TempDir(), "off"),
			"--path.sysfs=" + view(t, root, 0), "--path.rootfs=" + t.TempDir(), "--cri.socket=" + serveCRI(t, r),
		})
		w := watchGroup(t, group, attacked*mib)
		lab.Eventually(t, 30*time.Second, "the guard is ready", func() bool { return lab.Scrape(t, g.url).Value(t, "oom_guard_scans_total", "result", "success") > 0 })
		rate := "rate:2M"
		if emulated() {
			rate = "rate:512K"
		}
		leak := start(t, hog, in, "anon:120M", "sleep:300", rate, "anon:64M")
		status := leak.Wait(t, time.Minute)
		w.end()
		kernel := kernelKills(t, in)
		met := killed(status) && kernel == 0
		fmt.Fprintf(&b, "| %s | %v | %d | %d | %v |\n", c.name, met, kernel, len(r.calls()), running(victim))
		if !met || len(r.calls()) > 0 || !running(victim) {
			t.Errorf("%s: met %v, kernel's kills %d, stopped %v, the victim runs: %v\n%s", c.name, met, kernel, r.calls(), running(victim), g.Output())
		}
		g.Signal(t, syscall.SIGTERM)
		g.Wait(t, 10*time.Second)
	}
	fmt.Fprint(&b, stoppedGuard(t, binary, hog, root))
	if t.Failed() {
		return
	}
	version := victimGroup.Version
	evidence(t, fmt.Sprintf("guard-attacks-v%d.md", version), fmt.Sprintf(`# oom_guard under attack, cgroup v%d

%s. Policy container, limits of %d MiB. The victim is a container of another pod, which a CRI runtime confirms.

| attack | the leak was met | kernel's kills | containers stopped over CRI | the victim runs |
|---|---|---|---|---|
%s`, version, machine(), attacked, b.String()))
}

// stoppedGuard stops the guard while a leak runs into its limit, where the kernel
// kills it: a guard that goes on after that kills nobody.
func stoppedGuard(t *testing.T, binary, hog, root string) string {
	t.Helper()
	group := lab.NewGroup(t, path.Join(root, "stopped"), 64*mib)
	bystander := start(t, hog, group, "anon:20M", "say:up")
	bystander.WaitLine(t, "up")
	g := startGuard(t, binary, root, "--policy=process")
	lab.Eventually(t, time.Minute, "the group is watched", func() bool {
		return lab.Scrape(t, g.url).Has("oom_guard_threshold_bytes", "container", group.Path)
	})
	leak := start(t, hog, group, "anon:36M", "sleep:200", "rate:50M", "anon:64M")
	threshold := uint64(64*mib - 64*mib/50)
	file := map[int]string{1: "memory.usage_in_bytes", 2: "memory.current"}[group.Version]
	for usage := uint64(0); usage < threshold-4*mib && running(leak); {
		usage = group.Uint(t, file)
	}
	g.Signal(t, syscall.SIGSTOP)
	leak.Wait(t, time.Minute)
	g.Signal(t, syscall.SIGCONT)
	<-time.After(3 * time.Second)
	kills := g.outcome(t, "killed")
	if kills > 0 || !running(bystander) || kernelKills(t, group) != 1 {
		t.Errorf("a guard that was stopped: %v kills, the bystander runs: %v, kernel's kills %d", kills, running(bystander), kernelKills(t, group))
	}
	g.Signal(t, syscall.SIGTERM)
	g.Wait(t, 10*time.Second)
	return fmt.Sprintf("| the guard is stopped until the kernel has killed | %.0f kills after it | %d | - | %v |\n", kills, kernelKills(t, group), running(bystander))
}

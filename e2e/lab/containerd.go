// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Containerd is a containerd with its CRI service, under a root of its own.
type Containerd struct {
	Root   string // <Root>/run/containerd and <Root>/var/lib/containerd are its directories.
	Socket string
	debian string
}

// ContainerdOptions says how StartContainerd runs it.
type ContainerdOptions struct {
	Root  string
	Netns string // network namespace to run in, a file; empty: the test's own.
	CNI   string // directory with network configurations; empty: only host networks.
}

// containerdConfig is config.toml. The native snapshotter needs nothing of the
// file system; restrict_oom_score_adj lets it run without CAP_SYS_RESOURCE.
const containerdConfig = `version = 2
root = "%[1]s/var/lib/containerd"
state = "%[1]s/run/containerd"
oom_score = 0
[grpc]
  address = "%[2]s"
[ttrpc]
  address = "%[2]s.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + PauseImage + `"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[3]s/usr/lib/cni"
    conf_dir = "%[4]s"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "%[3]s/usr/sbin/runc"
        Root = "%[1]s/run/runc"
        SystemdCgroup = false
`

// PauseImage is what the sandboxes of CRI run; HogImage makes one of it.
const PauseImage = "docker.io/library/pause:e2e"

// StartContainerd runs Debian's containerd until the test ends; then all of its
// containers are removed first.
func StartContainerd(t testing.TB, o ContainerdOptions) *Containerd {
	t.Helper()
	c := &Containerd{Root: o.Root, Socket: o.Root + "/run/containerd/containerd.sock"}
	c.debian = Debian(t, "containerd", "runc", "containernetworking-plugins")
	for _, dir := range []string{"/run/containerd", "/var/lib/containerd", "/cni"} {
		if err := os.MkdirAll(o.Root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if o.CNI == "" {
		o.CNI = o.Root + "/cni"
	}
	file := filepath.Join(o.Root, "containerd.toml")
	config := fmt.Sprintf(containerdConfig, o.Root, c.Socket, c.debian, o.CNI)
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	Vacate(t, "/run/containerd", "/var/lib/cni")
	t.Cleanup(func() { c.killShims(t) })
	args := []string{c.debian + "/usr/bin/containerd", "--config", file}
	if o.Netns != "" {
		args = append([]string{"nsenter", "--net=" + o.Netns}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+DebianPath(c.debian))
	d := StartDaemon(t, o.Root, "containerd", cmd)
	d.Await(t, "containerd answers", func() bool {
		_, err := c.ctr("version")
		return err == nil
	})
	t.Cleanup(func() {
		c.removePods(t)
		for _, namespace := range []string{"default", "k8s.io"} {
			c.removeAll(namespace)
		}
	})
	return c
}

// CRI connects to the service that kubelet uses.
func (c *Containerd) CRI(t testing.TB) runtimev1.RuntimeServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+c.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return runtimev1.NewRuntimeServiceClient(conn)
}

// removePods stops what a kubelet left running, and gives their networks back.
func (c *Containerd) removePods(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own has ended.
	defer cancel()
	client := c.CRI(t)
	pods, err := client.ListPodSandbox(ctx, &runtimev1.ListPodSandboxRequest{})
	if err != nil {
		t.Error(err)
		return
	}
	for _, pod := range pods.GetItems() {
		if _, err := client.StopPodSandbox(ctx, &runtimev1.StopPodSandboxRequest{PodSandboxId: pod.GetId()}); err != nil {
			t.Error(err)
		}
		if _, err := client.RemovePodSandbox(ctx, &runtimev1.RemovePodSandboxRequest{PodSandboxId: pod.GetId()}); err != nil {
			t.Error(err)
		}
	}
}

// Version is what containerd and runc call themselves.
func (c *Containerd) Version(t testing.TB) string {
	t.Helper()
	containerd := strings.Fields(Command(t, c.debian+"/usr/bin/containerd", "--version"))
	runc := strings.Fields(Command(t, c.debian+"/usr/sbin/runc", "--version"))
	return fmt.Sprintf("containerd %s, runc %s", containerd[2], runc[2])
}

// Import loads an image for ctr and CRI.
func (c *Containerd) Import(t testing.TB, image Image) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	image.Write(t, file)
	for _, namespace := range []string{"default", "k8s.io"} {
		c.Ctr(t, "-n", namespace, "image", "import", "--snapshotter", "native", file)
	}
}

// Ctr runs containerd's own client; it must succeed.
func (c *Containerd) Ctr(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.ctr(args...)
	if err != nil {
		t.Fatalf("ctr %v: %v\n%s", args, err, out)
	}
	return out
}

// CtrFails runs containerd's own client and returns how it ended.
func (c *Containerd) CtrFails(args ...string) error {
	_, err := c.ctr(args...)
	return err
}

func (c *Containerd) ctr(args ...string) (string, error) {
	cmd := exec.Command(c.debian+"/usr/bin/ctr", append([]string{"-a", c.Socket}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// removeAll removes what a failed test has left; errors don't matter, for the
// groups and the shims are looked at later.
func (c *Containerd) removeAll(namespace string) {
	list := func(kind string) []string {
		out, err := c.ctr("-n", namespace, kind, "ls", "-q")
		if err != nil {
			return nil
		}
		return strings.Fields(out)
	}
	poll(20*time.Second, func() bool {
		tasks := list("task")
		for _, id := range tasks {
			_, _ = c.ctr("-n", namespace, "task", "rm", "-f", id)
		}
		return len(tasks) == 0
	})
	for _, id := range list("container") {
		_, _ = c.ctr("-n", namespace, "container", "rm", id)
	}
}

// killShims ends the shims of this containerd, which outlive it.
func (c *Containerd) killShims(t testing.TB) {
	for _, pid := range commands(c.Socket + "\x00") {
		t.Logf("a shim is left: %d", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

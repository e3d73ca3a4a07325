// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// fakeCRI is a container runtime; hang makes it answer no more until closed.
type fakeCRI struct {
	runtimev1.UnimplementedRuntimeServiceServer
	hang chan struct{}
}

func (f *fakeCRI) ListContainers(ctx context.Context, _ *runtimev1.ListContainersRequest) (*runtimev1.ListContainersResponse, error) {
	if f.hang != nil {
		select {
		case <-f.hang:
		case <-ctx.Done():
		}
	}
	return &runtimev1.ListContainersResponse{Containers: []*runtimev1.Container{
		{
			Id: idA, PodSandboxId: idB, Metadata: &runtimev1.ContainerMetadata{Name: "app", Attempt: 2},
			Image:    &runtimev1.ImageSpec{Image: "sha256:77", UserSpecifiedImage: "registry.k8s.io/web:1"},
			ImageRef: "sha256:77",
		},
		{Id: idC, PodSandboxId: "gone", Metadata: &runtimev1.ContainerMetadata{Name: "lost"}},
	}}, nil
}

func (f *fakeCRI) ListPodSandbox(context.Context, *runtimev1.ListPodSandboxRequest) (*runtimev1.ListPodSandboxResponse, error) {
	return &runtimev1.ListPodSandboxResponse{Items: []*runtimev1.PodSandbox{
		{Id: idB, Metadata: &runtimev1.PodSandboxMetadata{Name: "web-0", Namespace: "default", Uid: podUID}},
	}}, nil
}

func (f *fakeCRI) Version(context.Context, *runtimev1.VersionRequest) (*runtimev1.VersionResponse, error) {
	return &runtimev1.VersionResponse{RuntimeName: "containerd"}, nil
}

func serveCRI(t *testing.T, fake *fakeCRI) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cri.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	runtimev1.RegisterRuntimeServiceServer(server, fake)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return path
}

func TestCRISocket(t *testing.T) {
	t.Parallel()
	got, err := criSocket{serveCRI(t, &fakeCRI{})}.lookup(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	expected := []found{
		{ID: idB, PodUID: podUID, Runtime: "containerd", Sandbox: true, Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "POD"}},
		{ID: idA, PodUID: podUID, Runtime: "containerd", Image: "registry.k8s.io/web:1", Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "app"}},
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCRISocketNotThere(t *testing.T) {
	t.Parallel()
	if _, err := (criSocket{filepath.Join(t.TempDir(), "none.sock")}).lookup(context.Background(), nil); err == nil {
		t.Error("no socket, no error")
	}
}

// A runtime that hangs is given up in time, and a Namer with it still names
// what the others know, at once.
func TestCRISocketHangs(t *testing.T) {
	t.Parallel()
	path := serveCRI(t, &fakeCRI{hang: make(chan struct{})})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := (criSocket{path}).lookup(ctx, nil); err == nil {
		t.Error("a runtime that hangs gives names")
	}

	dirs, _ := logTree(t)
	n := NewNamer(Options{LogDirs: dirs, CRISocket: path, Timeout: 100 * time.Millisecond})
	tree := treeOf("/kubepods/burstable/pod" + podUID + "/" + idA)
	Classify(tree)
	n.Name(tree)
	if got := row(find(t, tree, "/kubepods/burstable/pod"+podUID+"/"+idA)); got != "default|web-0|app" {
		t.Errorf("named %q", got)
	}
}

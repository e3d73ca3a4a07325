// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// criSocket asks the container runtime over the interface that kubelet uses.
// Who may open that socket rules the node, so it is used only where given.
type criSocket struct{ path string }

func (criSocket) name() string { return "CRI socket" }

func (s criSocket) lookup(ctx context.Context, _ []wanted) ([]found, error) {
	// A connection for each question: questions are rare, and nothing is left
	// running between them.
	connection, err := grpc.NewClient("unix:"+s.path,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxListFile)))
	if err != nil {
		return nil, fmt.Errorf("connect to CRI: %w", err)
	}
	defer func() { _ = connection.Close() }()
	client := runtimev1.NewRuntimeServiceClient(connection)

	containers, err := client.ListContainers(ctx, &runtimev1.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("list containers over CRI: %w", err)
	}
	sandboxes, err := client.ListPodSandbox(ctx, &runtimev1.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("list sandboxes over CRI: %w", err)
	}
	runtime := ""
	if version, err := client.Version(ctx, &runtimev1.VersionRequest{}); err == nil {
		runtime = version.GetRuntimeName()
	}
	return nameCRI(containers.GetContainers(), sandboxes.GetItems(), runtime), nil
}

// nameCRI joins the containers with the sandboxes that they are in.
func nameCRI(containers []*runtimev1.Container, sandboxes []*runtimev1.PodSandbox, runtime string) []found {
	names := make([]found, 0, len(containers)+len(sandboxes))
	pods := make(map[string]found, len(sandboxes))
	for _, s := range sandboxes {
		f := found{
			ID: s.GetId(), PodUID: s.GetMetadata().GetUid(), Runtime: runtime, Sandbox: true,
			Workload: oom.Workload{
				Namespace: s.GetMetadata().GetNamespace(), Pod: s.GetMetadata().GetName(), Container: sandboxName,
			},
		}
		pods[f.ID] = f
		names = append(names, f)
	}
	for _, c := range containers {
		f, ok := pods[c.GetPodSandboxId()]
		if !ok {
			continue
		}
		f.ID, f.Sandbox = c.GetId(), false
		f.Workload.Container = c.GetMetadata().GetName()
		f.Image = imageCRI(c)
		names = append(names, f)
	}
	return names
}

// imageCRI prefers what the pod's author wrote (since CRI of Kubernetes 1.28)
// over what the runtime made of it, often an id.
func imageCRI(c *runtimev1.Container) string {
	for _, image := range [...]string{c.GetImage().GetUserSpecifiedImage(), c.GetImage().GetImage()} {
		if image != "" {
			return image
		}
	}
	return c.GetImageRef()
}

// CRISocket returns the first socket of a known runtime below rootfs, k3s' and
// microk8s' included; empty if there is none.
func CRISocket(rootfs string) string {
	for _, path := range [...]string{
		"/run/containerd/containerd.sock",
		"/run/crio/crio.sock",
		"/run/cri-dockerd.sock",
		"/run/k3s/containerd/containerd.sock",
		"/run/k0s/containerd.sock",
		"/var/snap/microk8s/common/run/containerd.sock",
	} {
		full := filepath.Join("/", rootfs, path)
		if info, err := os.Stat(full); err == nil && info.Mode().Type() == os.ModeSocket {
			return full
		}
	}
	return ""
}

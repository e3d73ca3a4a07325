// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CRI ends containers through the interface that kubelet uses, so that the
// runtime knows why its container is gone.
type CRI struct {
	client runtimev1.RuntimeServiceClient
}

// NewCRI returns a CRI for the socket, and a function that closes it. It connects
// when it is used.
func NewCRI(socket string) (*CRI, func() error, error) {
	connection, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to CRI: %w", err)
	}
	return &CRI{runtimev1.NewRuntimeServiceClient(connection)}, connection.Close, nil
}

// Stop ends the container without a grace period.
func (c *CRI) Stop(ctx context.Context, containerID string) error {
	_, err := c.client.StopContainer(ctx, &runtimev1.StopContainerRequest{ContainerId: containerID, Timeout: 0})
	if err != nil {
		return fmt.Errorf("stop container over CRI: %w", err)
	}
	return nil
}

// errNotRunning says that the container does not run, or its process is unknown.
var errNotRunning = errors.New("the container does not run")

// Main returns the first process of a running container, and its pod's UID.
func (c *CRI) Main(ctx context.Context, containerID string) (pid int32, podUID string, err error) {
	r, err := c.client.ContainerStatus(ctx, &runtimev1.ContainerStatusRequest{ContainerId: containerID, Verbose: true})
	if err != nil {
		return 0, "", fmt.Errorf("ask for container over CRI: %w", err)
	}
	s := r.GetStatus()
	if s.GetId() != containerID || s.GetState() != runtimev1.ContainerState_CONTAINER_RUNNING {
		return 0, "", errNotRunning
	}
	// Both containerd and CRI-O have the pid there.
	var info struct {
		PID int32 `json:"pid"`
	}
	if err := json.Unmarshal([]byte(r.GetInfo()["info"]), &info); err != nil || info.PID <= 0 {
		return 0, "", errors.Join(errNotRunning, err)
	}
	return info.PID, s.GetLabels()["io.kubernetes.pod.uid"], nil
}

// kubeContainer parses the cgroup path of a container that kubelet has made. It
// accepts only the one place where either of kubelet's cgroup drivers puts it:
// right below its pod, which is below kubelet's own root.
func kubeContainer(root, path string) (podUID, id string, ok bool) {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")+"/")
	if !ok {
		return "", "", false
	}
	parts := strings.Split(rest, "/")
	if n := len(parts); n < 3 || n > 4 {
		return "", "", false
	}
	pod, leaf := parts[len(parts)-2], parts[len(parts)-1]
	class := ""
	switch parts[0] {
	case "kubepods":
		if len(parts) == 4 {
			class = parts[1]
		}
		podUID, ok = strings.CutPrefix(pod, "pod")
		id = leaf
	case "kubepods.slice":
		prefix := "kubepods"
		if len(parts) == 4 {
			class, ok = strings.CutPrefix(strings.TrimSuffix(parts[1], ".slice"), "kubepods-")
			if !ok {
				return "", "", false
			}
			prefix = "kubepods-" + class
		}
		podUID, ok = strings.CutPrefix(strings.TrimSuffix(pod, ".slice"), prefix+"-pod")
		podUID = strings.ReplaceAll(podUID, "_", "-")
		id = strings.TrimSuffix(leaf, ".scope")
		for _, runtime := range []string{"cri-containerd-", "crio-"} {
			id = strings.TrimPrefix(id, runtime)
		}
	default:
		return "", "", false
	}
	if !ok || len(parts) == 4 && class != "burstable" && class != "besteffort" || !isHex(id, 64) || !isHex(strings.ReplaceAll(podUID, "-", ""), 32) {
		return "", "", false
	}
	return podUID, id, true
}

func isHex(s string, digits int) bool {
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

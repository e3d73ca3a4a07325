// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package containers_test

import (
	"fmt"
	"testing"
	"time"

	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// cri does what kubelet does: a sandbox for each pod, a container in it.
type cri struct {
	client  runtimev1.RuntimeServiceClient
	version string
	pods    map[string]pod // by the container's name.
	made    int
}

type pod struct {
	uid, sandbox, container string
}

const qosGroup = "/kubepods/burstable"

func newCRI(t *testing.T, c *lab.Containerd, version string) *cri {
	t.Helper()
	return &cri{client: c.CRI(t), version: version, pods: map[string]pod{}}
}

func (c *cri) engine() engine {
	return engine{
		name: "CRI", version: c.version, runtime: "containerd",
		labels: func(name string) []string {
			return []string{"namespace", "shop", "pod", "cart-" + name, "container", name}
		},
		start: c.start, remove: c.remove,
		lose: func(t *testing.T, name string, steps ...string) {
			c.start(t, name, steps...)
			id := c.pods[name].container
			lab.Eventually(t, late, "the container ends", func() bool {
				status, err := c.client.ContainerStatus(t.Context(), &runtimev1.ContainerStatusRequest{ContainerId: id})
				return err == nil && status.GetStatus().GetState() == runtimev1.ContainerState_CONTAINER_EXITED
			})
			c.remove(t, name)
		},
		cgroup: func(_ *testing.T, name string) string {
			p := c.pods[name]
			return qosGroup + "/pod" + p.uid + "/" + p.container
		},
	}
}

// start makes a pod on the host's network with one container.
func (c *cri) start(t *testing.T, name string, steps ...string) {
	t.Helper()
	c.made++
	p := pod{uid: fmt.Sprintf("%08x-e2e0-4000-8000-%012x", c.made, time.Now().Unix())}
	sandbox := &runtimev1.PodSandboxConfig{
		Metadata: &runtimev1.PodSandboxMetadata{Name: "cart-" + name, Namespace: "shop", Uid: p.uid},
		Linux: &runtimev1.LinuxPodSandboxConfig{
			CgroupParent: qosGroup + "/pod" + p.uid,
			SecurityContext: &runtimev1.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimev1.NamespaceOption{Network: runtimev1.NamespaceMode_NODE},
			},
		},
	}
	made, err := c.client.RunPodSandbox(t.Context(), &runtimev1.RunPodSandboxRequest{Config: sandbox})
	must(t, err)
	p.sandbox = made.GetPodSandboxId()
	created, err := c.client.CreateContainer(t.Context(), &runtimev1.CreateContainerRequest{
		PodSandboxId: p.sandbox, SandboxConfig: sandbox,
		Config: &runtimev1.ContainerConfig{
			Metadata: &runtimev1.ContainerMetadata{Name: name},
			Image:    &runtimev1.ImageSpec{Image: lab.HogName},
			Args:     steps,
			Linux: &runtimev1.LinuxContainerConfig{
				Resources: &runtimev1.LinuxContainerResources{MemoryLimitInBytes: limit, OomScoreAdj: 900},
			},
		},
	})
	must(t, err)
	p.container = created.GetContainerId()
	c.pods[name] = p
	_, err = c.client.StartContainer(t.Context(), &runtimev1.StartContainerRequest{ContainerId: p.container})
	must(t, err)
}

func (c *cri) remove(t *testing.T, name string) {
	t.Helper()
	p := c.pods[name]
	_, err := c.client.StopPodSandbox(t.Context(), &runtimev1.StopPodSandboxRequest{PodSandboxId: p.sandbox})
	must(t, err)
	_, err = c.client.RemovePodSandbox(t.Context(), &runtimev1.RemovePodSandboxRequest{PodSandboxId: p.sandbox})
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

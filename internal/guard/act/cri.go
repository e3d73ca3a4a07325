// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CRI ends containers by the interface that kubelet uses, so that the runtime
// knows why its container is gone.
type CRI struct {
	client runtimev1.RuntimeServiceClient
}

// NewCRI returns a CRI at the socket. It connects when it is used.
func NewCRI(socket string) (*CRI, func() error, error) {
	connection, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to CRI: %w", err)
	}
	return &CRI{runtimev1.NewRuntimeServiceClient(connection)}, connection.Close, nil
}

// Stop ends the container without a time of grace.
func (c *CRI) Stop(ctx context.Context, containerID string) error {
	_, err := c.client.StopContainer(ctx, &runtimev1.StopContainerRequest{ContainerId: containerID, Timeout: 0})
	if err != nil {
		return fmt.Errorf("stop container over CRI: %w", err)
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// criSocket asks the container runtime over the interface that kubelet uses.
// Whoever may open that socket rules the node, so it is used only where given.
type criSocket struct{ path string }

func (criSocket) name() string { return "CRI socket" }

func (s criSocket) lookup(ctx context.Context, _ []wanted) ([]found, error) {
	// A connection for each question: questions are rare, and nothing is left
	// running between them.
	connection, err := grpc.NewClient("unix:"+s.path,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxListFile), grpc.ForceCodec(rawCodec{})))
	if err != nil {
		return nil, fmt.Errorf("connect to CRI: %w", err)
	}
	defer func() { _ = connection.Close() }()
	ask := func(method string) (answer []byte, err error) {
		// All requests are empty: everything is asked for.
		err = connection.Invoke(ctx, "/runtime.v1.RuntimeService/"+method, []byte(nil), &answer)
		return answer, err
	}
	runtime := ""
	var version runtimev1.VersionResponse
	if answer, err := ask("Version"); err == nil && proto.Unmarshal(answer[:min(len(answer), maxListItem)], &version) == nil {
		runtime = version.GetRuntimeName()
	}
	sandboxes, err := ask("ListPodSandbox")
	if err != nil {
		return nil, fmt.Errorf("list sandboxes over CRI: %w", err)
	}
	names, err := sandboxesCRI(sandboxes, runtime)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes over CRI: %w", err)
	}
	containers, err := ask("ListContainers")
	if err != nil {
		return nil, fmt.Errorf("list containers over CRI: %w", err)
	}
	names, err = containersCRI(containers, names)
	if err != nil {
		return nil, fmt.Errorf("list containers over CRI: %w", err)
	}
	return names, nil
}

// rawCodec hands answers out undecoded: a message of the largest size can take a
// hundred times as much memory when all of it is decoded.
type rawCodec struct{}

var errNotRaw = errors.New("not a raw message")

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, errNotRaw
	}
	return b, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return errNotRaw
	}
	*b = bytes.Clone(data) // the buffer is used again.
	return nil
}

// eachItem decodes the items of a list, field 1 of the message, one by one.
func eachItem(message []byte, item proto.Message, each func()) error {
	for n := 0; len(message) > 0; {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if number != 1 || kind != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(number, kind, message); size < 0 {
				return protowire.ParseError(size)
			}
			message = message[size:]
			continue
		}
		raw, size := protowire.ConsumeBytes(message)
		switch {
		case size < 0:
			return protowire.ParseError(size)
		case len(raw) > maxListItem:
			return fmt.Errorf("an item of more than %d bytes", maxListItem)
		case n >= maxListed:
			return errTooMany
		}
		message = message[size:]
		n++
		if err := proto.Unmarshal(raw, item); err != nil {
			return err
		}
		each()
	}
	return nil
}

// sandboxesCRI reads a ListPodSandboxResponse.
func sandboxesCRI(message []byte, runtime string) ([]found, error) {
	var names []found
	var s runtimev1.PodSandbox
	err := eachItem(message, &s, func() {
		if !isID(s.GetId()) {
			return
		}
		names = append(names, found{
			ID: s.GetId(), PodUID: s.GetMetadata().GetUid(), Runtime: runtime, Sandbox: true,
			Workload: oom.Workload{
				Namespace: s.GetMetadata().GetNamespace(), Pod: s.GetMetadata().GetName(), Container: sandboxName,
			},
		})
	})
	return names, err
}

// containersCRI reads a ListContainersResponse and joins the containers with the
// sandboxes that they are in.
func containersCRI(message []byte, names []found) ([]found, error) {
	pods := make(map[string]found, len(names))
	for _, s := range names {
		pods[s.ID] = s
	}
	var c runtimev1.Container
	err := eachItem(message, &c, func() {
		f, ok := pods[c.GetPodSandboxId()]
		if !ok || !isID(c.GetId()) {
			return
		}
		f.ID, f.Sandbox = c.GetId(), false
		f.Workload.Container = c.GetMetadata().GetName()
		f.Image = imageCRI(&c)
		names = append(names, f)
	})
	return names, err
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

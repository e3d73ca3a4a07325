// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// dockerFiles reads ROOT/containers/ID/config.v2.json, which dockerd writes
// before the container starts; only root may read it.
type dockerFiles struct{ root string }

func (dockerFiles) name() string { return "docker files" }

func (s dockerFiles) lookup(ctx context.Context, want []wanted) ([]found, error) {
	dir := filepath.Join(s.root, "containers")
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	return eachFile(ctx, want, func(id string) (found, error) {
		data, err := readBounded(filepath.Join(dir, id, "config.v2.json"), maxStateFile)
		if err != nil {
			return found{}, err
		}
		return parseDockerConfig(id, data)
	})
}

// eachFile looks every container up in a file of its own. One broken file
// keeps no other name back.
func eachFile(ctx context.Context, want []wanted, read func(id string) (found, error)) ([]found, error) {
	var (
		names []found
		first error
	)
	for _, w := range want {
		if err := ctx.Err(); err != nil {
			return names, err
		}
		switch f, err := read(w.ID); {
		case err == nil:
			names = append(names, f)
		case !absent(err) && first == nil:
			first = err
		}
	}
	return names, first
}

func parseDockerConfig(id string, data []byte) (found, error) {
	var config struct {
		Name   string
		Config struct{ Image string }
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return found{}, fmt.Errorf("parse config of docker container %.12s: %w", id, err)
	}
	return nameDocker(id, config.Name, config.Config.Image), nil
}

// nameDocker returns what dockerd's name for a container says.
func nameDocker(id, name, image string) found {
	name = strings.TrimPrefix(name, "/")
	f, ok := parseKubernetesName(name)
	if !ok {
		f = found{Workload: oom.Workload{Container: name}}
	}
	f.ID, f.Image, f.Runtime = id, image, runtimeDocker
	return f
}

// maxHeader bounds the header of dockerd's answer.
const maxHeader = 64 << 10

// dockerSocket asks dockerd, or Podman's service, which has the same API.
type dockerSocket struct{ path string }

func (dockerSocket) name() string { return "docker socket" }

func (s dockerSocket) lookup(ctx context.Context, _ []wanted) ([]found, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.path)
		},
		MaxResponseHeaderBytes: maxHeader,
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/containers/json?all=1", nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask docker for its containers: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask docker for its containers: status %d", response.StatusCode)
	}
	return parseDockerList(response.Body)
}

// dockerItem is a container in dockerd's list.
type dockerItem struct {
	ID    string `json:"Id"`
	Names []string
	Image string
}

func parseDockerList(r io.Reader) ([]found, error) {
	var names []found
	err := decodeList(r, func(container *dockerItem) {
		if name := ownName(container.Names); isID(container.ID) && name != "" {
			names = append(names, nameDocker(container.ID, name, container.Image))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("parse docker's list of containers: %w", err)
	}
	return names, nil
}

// ownName returns the container's own name; links to it from others,
// /OTHER/ALIAS, are in the same list.
func ownName(names []string) string {
	for _, name := range names {
		if strings.LastIndexByte(name, '/') <= 0 {
			return strings.TrimPrefix(name, "/")
		}
	}
	return ""
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// containerdState reads the annotations of the OCI bundles that containerd
// keeps for running containers, STATE/io.containerd.runtime.v2.task/NAMESPACE/
// ID/config.json. Only root may read them.
type containerdState struct{ states []string }

func (containerdState) name() string { return "containerd state" }

func (s containerdState) lookup(ctx context.Context, want []wanted) ([]found, error) {
	var (
		dirs []string
		errs []error
	)
	for _, state := range s.states {
		tasks := filepath.Join(state, "io.containerd.runtime.v2.task")
		err := readNames(ctx, tasks, func(namespace string) {
			dirs = append(dirs, filepath.Join(tasks, namespace))
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(dirs) == 0 {
		return nil, errors.Join(errs...)
	}
	return eachFile(ctx, want, func(id string) (found, error) {
		return readBundle(id, dirs)
	})
}

// readBundle reads a container's bundle from the first directory that has it.
func readBundle(id string, dirs []string) (found, error) {
	for _, dir := range dirs {
		data, err := readBounded(filepath.Join(dir, id, "config.json"), maxStateFile)
		if absent(err) {
			continue
		}
		if err != nil {
			return found{}, err
		}
		return parseBundle(id, data)
	}
	return found{}, os.ErrNotExist
}

// parseBundle reads the names in the annotations of an OCI runtime
// configuration: those of containerd's CRI plugin or nerdctl's.
func parseBundle(id string, data []byte) (found, error) {
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return found{}, fmt.Errorf("parse bundle of container %.12s: %w", id, err)
	}
	a := spec.Annotations
	f := found{ID: id, Runtime: runtimeContainerd}
	switch {
	case a["io.kubernetes.cri.container-type"] != "":
		f.Workload = oom.Workload{
			Namespace: a["io.kubernetes.cri.sandbox-namespace"],
			Pod:       a["io.kubernetes.cri.sandbox-name"],
			Container: a["io.kubernetes.cri.container-name"],
		}
		f.PodUID, f.Image = a["io.kubernetes.cri.sandbox-uid"], a["io.kubernetes.cri.image-name"]
		f.Sandbox = a["io.kubernetes.cri.container-type"] == "sandbox"
	case a["nerdctl/name"] != "":
		f.Workload.Container, f.Image = a["nerdctl/name"], a["nerdctl/image-name"]
	default:
		return found{}, os.ErrNotExist // a bundle that names nobody, such as dockerd's.
	}
	if f.Sandbox {
		f.Workload.Container = sandboxName
	}
	return f, nil
}

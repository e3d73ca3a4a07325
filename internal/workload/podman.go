// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// podmanStorage reads the list of containers that Podman and CRI-O keep with
// their images, ROOT/overlay-containers/containers.json. Podman's own database
// need not be read for it. The roots of rootless users are theirs to write.
type podmanStorage struct {
	roots    []string
	rootless bool
}

func (s podmanStorage) name() string {
	if s.rootless {
		return "rootless podman storage"
	}
	return "podman storage"
}

func (s podmanStorage) lookup(ctx context.Context, _ []wanted) ([]found, error) {
	var (
		names []found
		errs  []error
		read  int
	)
	for _, root := range s.roots {
		if err := ctx.Err(); err != nil {
			return names, err
		}
		list, err := readRoot(root)
		if s.rootless {
			list = asRootless(list)
		}
		names = append(names, list...)
		switch {
		case err == nil:
			read++
		case !absent(err):
			return names, err
		default:
			errs = append(errs, err)
		}
	}
	if read > 0 {
		return names, nil
	}
	return names, errors.Join(errs...)
}

// asRootless marks what users wrote: it names no pods, and nothing of others.
func asRootless(list []found) []found {
	list = slices.DeleteFunc(list, func(f found) bool { return f.Workload.Pod != "" })
	for i := range list {
		list[i].Rootless = true
	}
	return list
}

// readRoot reads the lists of one storage: there is one directory for each
// storage driver that was ever used, nearly always overlay, and a list of
// containers that are not to outlive a boot.
func readRoot(root string) ([]found, error) {
	var names []found
	missing := error(nil)
	for _, driver := range [...]string{"overlay", "vfs", "btrfs", "zfs"} {
		for _, file := range [...]string{"containers.json", "volatile-containers.json"} {
			list, err := readStorage(filepath.Join(root, driver+"-containers", file))
			if err != nil && !absent(err) {
				return names, err
			}
			if err != nil && missing == nil {
				missing = err
			}
			names = append(names, list...)
		}
	}
	if len(names) > 0 {
		return names, nil
	}
	return nil, missing
}

func readStorage(path string) ([]found, error) {
	file, err := openBounded(path, maxListFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := parseStorage(file)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return names, nil
}

// storageItem is a container in a containers.json. The metadata is JSON in a
// string, written by libpod or CRI-O.
type storageItem struct {
	ID       string   `json:"id"`
	Names    []string `json:"names"`
	Metadata string   `json:"metadata"`
}

// parseStorage reads a containers.json of containers/storage.
func parseStorage(r io.Reader) ([]found, error) {
	var names []found
	err := decodeList(r, func(container *storageItem) {
		if !isID(container.ID) || len(container.Names) == 0 || container.Names[0] == "" {
			return
		}
		f, ok := parseKubernetesName(container.Names[0])
		f.Runtime = runtimeCRIO
		if !ok {
			f = found{Workload: oom.Workload{Container: container.Names[0]}, Runtime: runtimePodman}
		}
		var metadata struct {
			Image string `json:"image-name"`
		}
		if json.Unmarshal([]byte(container.Metadata), &metadata) == nil {
			f.Image = metadata.Image
		}
		f.ID = container.ID
		names = append(names, f)
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

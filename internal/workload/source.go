// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// wanted is a container whose name is asked for.
type wanted struct {
	ID, PodUID string
	Live       bool // its group was in the last tree.
}

// found is what a source knows: of a container, or of a pod where ID is empty.
type found struct {
	ID, PodUID     string
	Workload       oom.Workload
	Image, Runtime string
	Sandbox        bool
	Rootless       bool   // a user's, good only for groups below a user's manager.
	Claimed        bool   // namespace and pod were read out of the name that the container was given,
	Own            string // which is this.
	// Vague says of a pod that the source can't tell all of its containers: one
	// that it does not tell need not be the sandbox.
	Vague bool
}

// source is one place to find names in. lookup may return more than it was
// asked for. It gets full ids only, so that they are safe in file names.
type source interface {
	name() string
	lookup(ctx context.Context, want []wanted) ([]found, error)
}

// Bounds on what is read from files that others write.
const (
	maxEntries   = 200_000  // of a directory.
	maxStateFile = 1 << 20  // one container's file.
	maxListFile  = 16 << 20 // a file or answer that has all of them; kubelet's bound on CRI's.
	maxListItem  = 1 << 20  // one container in it.
	maxListed    = 50_000   // containers in it.
)

var errTooMany = fmt.Errorf("more than %d containers", maxListed)

// openBounded opens a regular file of at most limit bytes. The path may be in a
// user's home: what is behind it must not make us wait, as a pipe would.
func openBounded(path string, limit int64) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("read %s: not a regular file", path)
	case info.Size() > limit:
		err = fmt.Errorf("read %s: more than %d bytes", path, limit)
	default:
		return file, nil
	}
	return nil, errors.Join(err, file.Close())
}

// readBounded reads a file that openBounded opens.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := openBounded(path, limit)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return data, nil
}

// decodeList decodes a JSON array item by item and calls each with every item: it
// holds one item at a time, not the list.
func decodeList[T any](r io.Reader, each func(*T)) error {
	d := json.NewDecoder(io.LimitReader(r, maxListFile))
	switch start, err := d.Token(); {
	case err != nil:
		return err
	case start == nil: // null: there are none.
		return nil
	case start != json.Delim('['):
		return errors.New("not a JSON array")
	}
	for n := 0; d.More(); n++ {
		if n >= maxListed {
			return errTooMany
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if len(raw) > maxListItem {
			return fmt.Errorf("an item of more than %d bytes", maxListItem)
		}
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return err
		}
		each(&item)
	}
	_, err := d.Token()
	return err
}

// readNames calls each for the names in a directory.
func readNames(ctx context.Context, dir string, each func(name string)) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	for count := 0; count < maxEntries; {
		names, err := file.Readdirnames(1024)
		for _, name := range names {
			each(name)
		}
		count += len(names)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("read %s: more than %d entries", dir, maxEntries)
}

// absent tells whether one container's file is just not there, as when another
// runtime runs the container, or it has ended.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// parseKubernetesName reads the name that kubelet's Docker shim, cri-dockerd
// and CRI-O give a container: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT.
func parseKubernetesName(name string) (found, bool) {
	fields := strings.Split(name, "_")
	if len(fields) != 6 || fields[0] != "k8s" || slices.Contains(fields, "") {
		return found{}, false
	}
	return found{
		Claimed:  true,
		Own:      name,
		PodUID:   fields[4],
		Workload: oom.Workload{Namespace: fields[3], Pod: fields[2], Container: fields[1]},
		Sandbox:  fields[1] == sandboxName,
	}, true
}

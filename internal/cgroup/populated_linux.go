// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// errPopulated ends a walk at the first process.
var errPopulated = errors.New("populated")

// Populated tells whether this very group has processes, in itself or below. It
// is called once, some time after a kill, so it reads by path and need not be fast.
func (h *Hierarchy) Populated(id oom.GroupID) bool {
	dir := filepath.Join(h.Mount(), filepath.FromSlash(id.Path))
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Ino != id.Inode {
		return false // another group that has the name now.
	}
	if h.Version() == 2 && id.Path != "/" {
		events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err == nil {
			return parsePopulated(events)
		}
	}
	if ok && st.Nlink == 2 { // it has no children.
		procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		return err == nil && len(bytes.TrimSpace(procs)) > 0
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // what vanished has no processes.
		}
		procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err == nil && len(bytes.TrimSpace(procs)) > 0 {
			return errPopulated
		}
		return nil
	})
	return errors.Is(err, errPopulated)
}

// parsePopulated reads the line "populated 1" of cgroup.events.
func parsePopulated(text []byte) bool {
	for line := range bytes.Lines(text) {
		if bytes.Equal(bytes.TrimSpace(line), []byte("populated 1")) {
			return true
		}
	}
	return false
}

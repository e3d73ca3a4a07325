// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guest

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// writeCPIO writes an initramfs in the "newc" format of the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst: the files, all
// executable, with the directories that they need.
func writeCPIO(w io.Writer, files map[string][]byte) error {
	const directory, file = 0o040755, 0o100755
	c := cpio{w: w}
	made := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		rel := strings.TrimPrefix(name, "/")
		for _, dir := range parents(rel) {
			if !made[dir] {
				made[dir] = true
				c.add(dir, directory, nil)
			}
		}
		c.add(rel, file, files[name])
	}
	c.add("TRAILER!!!", 0, nil)
	return c.err
}

// parents lists the directories above a relative path, outermost first.
func parents(name string) []string {
	var dirs []string
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}

type cpio struct {
	w     io.Writer
	inode int
	err   error
}

func (c *cpio) add(name string, mode int, data []byte) {
	c.inode++
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		c.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	c.write(append([]byte(head+name), 0))
	c.write(data)
}

// write pads each part to four bytes, as the format wants it.
func (c *cpio) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
	if pad := -len(b) & 3; c.err == nil && pad > 0 {
		_, c.err = c.w.Write(make([]byte, pad))
	}
}

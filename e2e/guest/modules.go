// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guest

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modules reads the named kernel modules and what they depend on. The order is
// the one for insmod; what is built into the kernel is left out.
func modules(kernelDir string, names ...string) (order []string, content map[string][]byte, err error) {
	paths := make(map[string]string)
	err = filepath.WalkDir(kernelDir, func(path string, d fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && !d.IsDir() {
			paths[moduleName(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	content = make(map[string][]byte)
	var add func(name string) error
	add = func(name string) error {
		path := paths[name]
		if path == "" || content[name] != nil {
			return nil
		}
		data, err := readModule(path)
		if err != nil {
			return err
		}
		content[name] = data
		depends, err := dependencies(data)
		if err != nil {
			return fmt.Errorf("module %s: %w", path, err)
		}
		for _, d := range depends {
			if err := add(d); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, nil, err
		}
	}
	return order, content, nil
}

// moduleName is the kernel's name for a module; file names may have dashes.
func moduleName(file string) string { return strings.ReplaceAll(file, "-", "_") }

func readModule(path string) ([]byte, error) {
	if strings.HasSuffix(path, ".xz") {
		return exec.Command("xz", "-dc", path).Output()
	}
	return os.ReadFile(path)
}

// dependencies reads the "depends=" entry of a module's .modinfo section.
func dependencies(module []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := strings.CutPrefix(string(entry), "depends="); ok && list != "" {
			names := strings.Split(list, ",")
			for i := range names {
				names[i] = moduleName(names[i])
			}
			return names, nil
		}
	}
	return nil, nil
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Ids as the runtimes make them, and the UIDs of an API server's and of a
// static pod.
const (
	idA       = "4f0ab9dd5e7a3c1f0e2b8d6a9c4e7f1032547698badcfe00112233445566778a"
	idB       = "b1c2d3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccddeeff0b"
	idC       = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee0c"
	shortA    = "4f0ab9dd5e7a"
	shortB    = "b1c2d3e4f506"
	podUID    = "5d5b6a3e-8a3c-4d0f-9b0a-2b8f5c1d7e9f"
	podUnder  = "5d5b6a3e_8a3c_4d0f_9b0a_2b8f5c1d7e9f"
	podUID2   = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
	staticUID = "9f3c1e7a5b2d4f608192a3b4c5d6e7f8"
)

// treeOf makes a tree in pre-order of paths in that order. Parents that are
// not listed are added. Inodes count up.
func treeOf(paths ...string) *oom.Tree {
	tree := &oom.Tree{Version: 2}
	index := make(map[string]int)
	var add func(path string) int
	add = func(path string) int {
		if i, ok := index[path]; ok {
			return i
		}
		parent := -1
		if path != "/" {
			dir := filepath.Dir(path)
			parent = add(dir)
		}
		i := len(tree.Groups)
		index[path] = i
		g := oom.Group{Parent: parent}
		g.Path, g.Inode = path, uint64(i+1)
		tree.Groups = append(tree.Groups, g)
		return i
	}
	add("/")
	for _, path := range paths {
		add(path)
	}
	return tree
}

func find(t *testing.T, tree *oom.Tree, path string) *oom.Group {
	t.Helper()
	for i := range tree.Groups {
		if tree.Groups[i].Path == path {
			return &tree.Groups[i]
		}
	}
	t.Fatalf("no group %s", path)
	return nil
}

func row(g *oom.Group) string {
	w := g.Workload
	return w.Namespace + "|" + w.Pod + "|" + w.Container
}

// writeFiles makes a directory of files; a name that ends in / is a directory.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		dir := path
		if !strings.HasSuffix(name, "/") {
			dir = filepath.Dir(path)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == path {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

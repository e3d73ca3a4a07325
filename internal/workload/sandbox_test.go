// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestSandboxByAge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		names  []found
		paths  []string
		inodes bool
		want   map[string]string
	}{
		{
			"the oldest has no file",
			[]found{isApp(idB, "app"), isPod(podUID)},
			[]string{pathA, pathB},
			true,
			map[string]string{pathA: "default|web-0|POD", pathB: "default|web-0|app"},
		},
		{
			"the pod's name is its container's",
			[]found{isApp(idB, "app")},
			[]string{pathA, pathB},
			true,
			map[string]string{pathA: "default|web-0|POD", podPath: "default|web-0|"},
		},
		{
			"a younger one's file is yet to come",
			[]found{isApp(idB, "app"), isPod(podUID)},
			[]string{pathB, pathA},
			true,
			map[string]string{pathA: "default|web-0|" + shortA},
		},
		{
			"no container yet",
			[]found{isPod(podUID)},
			[]string{pathA},
			true,
			map[string]string{pathA: "default|web-0|" + shortA},
		},
		{
			"two without a file",
			[]found{isApp(idC, "app"), isPod(podUID)},
			[]string{pathA, pathB, pathC},
			true,
			map[string]string{pathA: "default|web-0|POD", pathB: "default|web-0|" + shortB},
		},
		{
			"nobody knows who is older",
			[]found{isApp(idB, "app"), isPod(podUID)},
			[]string{pathA, pathB},
			false,
			map[string]string{pathA: "default|web-0|" + shortA},
		},
		{
			"files' names were cut",
			[]found{isApp(idB, "app"), {PodUID: podUID, Vague: true, Workload: isPod(podUID).Workload}},
			[]string{pathA, pathB},
			true,
			map[string]string{pathA: "default|web-0|" + shortA},
		},
		{
			"Kata has the pod in there",
			[]found{isApp(idB, "app"), isPod(podUID)},
			[]string{podPath + "/kata_" + idA, pathB},
			true,
			map[string]string{podPath + "/kata_" + idA: "default|web-0|" + shortA},
		},
		{
			"Docker in the pod",
			[]found{isApp(idB, "dind"), isPod(podUID)},
			[]string{pathB + "/docker/" + idA},
			true,
			map[string]string{pathB: "default|web-0|dind", pathB + "/docker/" + idA: "default|web-0|dind"},
		},
	} {
		n := newNamer(Options{Wait: 10 * time.Second}, []source{&fakeSource{names: tc.names}})
		tree := treeOf(tc.paths...)
		if !tc.inodes {
			for i := range tree.Groups {
				tree.Groups[i].Inode = 0
			}
		}
		Classify(tree)
		n.Name(tree)
		for path, want := range tc.want {
			g := find(t, tree, path)
			if got := row(g); got != want {
				t.Errorf("%s: %s is named %q, want %q", tc.name, path, got, want)
			}
			if sandbox := strings.HasSuffix(want, "|POD"); sandbox != (g.Kind == oom.KindSandbox) {
				t.Errorf("%s: %s is of kind %v", tc.name, path, g.Kind)
			}
		}
	}
}

// A sandbox by age is a guess that a source's word undoes.
func TestSandboxByAgeYields(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &fakeSource{names: []found{isApp(idB, "app"), isPod(podUID)}}
		n := newNamer(Options{}, []source{names})
		tree, _ := scan(n, pathA, pathB)
		expectKind(t, tree, pathA, oom.KindSandbox)
		names.set([]found{isApp(idA, "early"), isApp(idC, "late")}, nil)
		tree, _ = scan(n, pathA, pathB, pathC)
		expectKind(t, tree, pathA, oom.KindContainer)
		expectRow(t, tree, pathA, "default|web-0|early")
	})
}

func expectKind(t *testing.T, tree *oom.Tree, path string, want oom.Kind) {
	t.Helper()
	if got := find(t, tree, path).Kind; got != want {
		t.Errorf("%s is of kind %v, want %v", path, got, want)
	}
}

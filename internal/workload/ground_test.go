// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// What was given to others is remembered, whatever others have made in between:
// directories at any depth of one of theirs, containers in user namespaces, and
// as many directories of their own as can be remembered.
func TestDelegatedAreNotCrowdedOut(t *testing.T) {
	t.Parallel()
	owned := func(tree *oom.Tree) {
		for i := 1; i < len(tree.Groups); i++ {
			if g := &tree.Groups[i]; !strings.HasPrefix(g.Path, "/kubepods") && g.Path != "/docker" && g.Path != "/batch" {
				g.UID = 1000
			}
		}
	}
	for name, crowd := range map[string]func(i int) string{
		"deep":       func(i int) string { return fmt.Sprintf("/tenant/a/b%d/c", i) },
		"containers": func(i int) string { return fmt.Sprintf("/docker/%064x", i) },
		"jobs":       func(i int) string { return fmt.Sprintf("/batch/job%d", i) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNamer(Options{}, []source{&fakeSource{names: victimNames()}})
				for i := range 3 {
					var paths []string
					for j := range maxDelegated - 1 {
						paths = append(paths, crowd(i*maxDelegated+j))
					}
					scanWith(n, owned, paths...)
				}
				attack := "/later/a/kubepods/burstable/pod" + podUID + "/" + idDead
				scanWith(n, owned, podPath, attack)
				scanWith(n, owned, podPath)
				for _, path := range []string{attack, attack + "2"} {
					if id, _ := n.Lookup(path); id.PodUID != "" {
						t.Errorf("%s, when it is gone, is %q", path, row(&oom.Group{Identity: id}))
					}
				}
				if len(n.ground.delegated) > maxDelegated {
					t.Errorf("%d directories are remembered", len(n.ground.delegated))
				}
			})
		})
	}
}

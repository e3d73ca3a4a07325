// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// crowdTree makes a tree of paths, parents added; those below one of the given
// directories belong to user 1000.
func crowdTree(paths []string, given ...string) oom.Tree {
	all := map[string]bool{"/": true}
	for _, path := range paths {
		for ; path != ""; path = path[:strings.LastIndexByte(path, '/')] {
			all[path] = true
		}
	}
	var sorted [][]string
	for path := range all {
		sorted = append(sorted, strings.Split(strings.TrimSuffix(path, "/"), "/"))
	}
	slices.SortFunc(sorted, slices.Compare[[]string]) // in pre-order.
	tree := oom.Tree{Version: 2}
	index := map[string]int{}
	for i, segments := range sorted {
		path := strings.Join(segments, "/")
		g := oom.Group{Parent: -1}
		if i > 0 {
			g.Parent = index[strings.Join(segments[:len(segments)-1], "/")]
		}
		index[path] = i
		g.Path, g.Inode = path, uint64(i+1)
		if path == "" {
			g.Path = "/"
		}
		for _, dir := range given {
			if path == dir || strings.HasPrefix(path, dir+"/") {
				g.UID = 1000
			}
		}
		tree.Groups = append(tree.Groups, g)
	}
	return tree
}

// rowsBelow returns the labels of the rows at and below a path.
func rowsBelow(tree oom.Tree, path string) []string {
	seen := map[string]bool{}
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if g.Owner == i && g.Kind == oom.KindContainer && (g.Path == path || strings.HasPrefix(g.Path, path+"/")) {
			seen[g.Workload.Container] = true
		}
	}
	labels := []string{}
	for label := range seen {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return labels
}

func many(n int, form string) (paths []string) {
	for i := range n {
		paths = append(paths, fmt.Sprintf(form, i))
	}
	return paths
}

// checkOwners holds what all users of a tree rely on.
func checkOwners(t *testing.T, tree oom.Tree) {
	t.Helper()
	for i := range tree.Groups {
		g := &tree.Groups[i]
		owner := &tree.Groups[g.Owner]
		if owner.Owner != g.Owner {
			t.Fatalf("%s counts for %s, and that for another one", g.Path, owner.Path)
		}
		if g.Kind == oom.KindPart && owner.Kind == oom.KindPart {
			t.Fatalf("%s is a part of a part, %s", g.Path, owner.Path)
		}
	}
}

func TestFoldCrowds(t *testing.T) {
	const user = "/user.slice/user-1000.slice/user@1000.service"
	long := strings.Repeat("x", 200)
	honest := slices.Concat(
		many(300, "/kubepods/burstable/pod%08d-1111-2222-3333-444444444444/"+idA), many(50, "/system.slice/unit%d.service"),
		[]string{"/user.slice/user-1001.slice/user@1001.service/app.slice/editor.service", "/user.slice/user-1001.slice/session-3.scope"},
	)
	limits := Limits{Rows: 5000, Share: 100}
	for name, tc := range map[string]struct {
		crowd []string
		at    string
		given []string
		most  int
		also  []string // rows that stay.
	}{
		"units": {many(9500, user+"/app.slice/x%d.service"), user, nil, 100, nil},
		"units beside others": {
			append(many(9500, user+"/app.slice/x%d.service"), user+"/session.slice/shell.service", "/user.slice/user-1000.slice/session-4.scope"),
			"/user.slice/user-1000.slice", nil, 100,
			[]string{"user@1000.service/shell.service", "session.scope", "user@1000.service/app.slice"},
		},
		"LXC":               {many(9500, user+"/lxc.payload."+long+"%d"), user, nil, 100, nil},
		"containers":        {many(9500, user+"/user.slice/libpod-%064x.scope"), user, nil, 100, nil},
		"slices":            {many(9500, user+"/app.slice/app-x%d.slice"), user, nil, 100, nil},
		"in two levels":     {slices.Concat(many(95, user+"/a.slice/a-%d.slice/y.service"), many(95, user+"/b.slice/b-%d.slice/y.service"), many(95, user+"/b.slice/b-%d.slice/z.service")), user, nil, 100, nil},
		"a given directory": {many(9500, "/tenants/t1/x%d"), "/tenants/t1", []string{"/tenants/t1"}, 100, nil},
		"deep":              {many(9500, "/tenants/t1/"+strings.Repeat("d/", 50)+"x%d"), "/tenants/t1", []string{"/tenants/t1"}, 100, nil},
		"few":               {many(40, user+"/app.slice/x%d.service"), user, nil, 100, nil},
	} {
		t.Run(name, func(t *testing.T) {
			alone := crowdTree(append(slices.Clone(honest), tc.crowd...), tc.given...)
			Classify(&alone)
			tree := crowdTree(append(slices.Clone(honest), tc.crowd...), tc.given...)
			Classify(&tree)
			FoldCrowds(&tree, limits)
			checkOwners(t, tree)
			rows := rowsBelow(tree, tc.at)
			if len(rows) == 0 || len(rows) > tc.most {
				t.Errorf("%d rows of the crowd, want 1 to %d", len(rows), tc.most)
			}
			if folded := tree.Folded > 0; folded != (name != "few") {
				t.Errorf("%d rows are folded", tree.Folded)
			}
			for _, label := range tc.also {
				if !slices.Contains(rows, label) {
					t.Errorf("%s is folded: %.500q", label, rows)
				}
			}
			for i := range tree.Groups {
				g, was := &tree.Groups[i], &alone.Groups[i]
				if inside := g.Path == tc.at || strings.HasPrefix(g.Path, tc.at+"/"); inside {
					continue
				}
				if g.Kind != was.Kind || g.Owner != was.Owner || !cmp.Equal(g.Identity, was.Identity) {
					t.Errorf("%s of somebody else has changed", g.Path)
				}
			}
		})
	}
}

// Where many users have many each, all get the same, and who needs less has it.
func TestFoldCrowdsOfManyUsers(t *testing.T) {
	paths := many(100, "/system.slice/unit%d.service")
	for uid := range 50 {
		n := 60
		if uid == 7 {
			n = 3
		}
		paths = append(paths, many(n, fmt.Sprintf("/user.slice/user-%d.slice/user@%d.service/app.slice", uid, uid)+"/x%d.service")...)
	}
	tree := crowdTree(paths)
	Classify(&tree)
	FoldCrowds(&tree, Limits{Rows: 600, Share: 100})
	checkOwners(t, tree)
	if n := len(rowsBelow(tree, "/system.slice")); n != 100 {
		t.Errorf("%d units of the system", n)
	}
	if n := len(rowsBelow(tree, "/user.slice/user-7.slice")); n != 3 {
		t.Errorf("%d rows of the user with three", n)
	}
	if n := len(rowsBelow(tree, "/user.slice")); n > 500 {
		t.Errorf("%d rows of users", n)
	}
}

// With generous limits nothing changes, and without any.
func TestFoldNothing(t *testing.T) {
	paths := many(250, "/kubepods/pod%08d-1111-2222-3333-444444444444/"+idA)
	for _, limits := range []Limits{{}, {Rows: 5000, Share: 250}, {Rows: 1}, {Rows: 3, Share: 1}} {
		tree := crowdTree(paths)
		Classify(&tree)
		want := slices.Clone(tree.Groups)
		FoldCrowds(&tree, limits)
		if diff := cmp.Diff(want, tree.Groups, cmp.Comparer(func(a, b oom.Amount) bool { return a == b })); diff != "" || tree.Folded != 0 {
			t.Errorf("limits %+v: %d folded:\n%s", limits, tree.Folded, diff)
		}
	}
}

// FuzzClassifyTree classifies whole trees of whatever names.
func FuzzClassifyTree(f *testing.F) {
	f.Add("kubepods/burstable/pod"+podUID+"/"+idA+"\nkubepods/burstable/pod"+podUID+"/"+idA+"/lxc.payload.x", uint16(0), uint8(9), uint8(3))
	f.Add("user.slice/user-1000.slice/user@1000.service/app.slice/a.service\nuser.slice/user-1000.slice/session-1.scope\nsystem.slice/docker-"+idA+".scope", uint16(5), uint8(1), uint8(1))
	f.Add("lxc.payload.a/lxc/b\nlxc.monitor.a\nmachine.slice/machine-x.scope\nslurm/uid_1/job_2/step_3", uint16(3), uint8(2), uint8(2))
	f.Add("/\n//\n./..\nkubepods.slice/kubepods-pod.slice", uint16(255), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, text string, given uint16, rows, share uint8) {
		var paths []string
		for line := range strings.SplitSeq(text, "\n") {
			path := ""
			for name := range strings.SplitSeq(line, "/") {
				if name != "" {
					path += "/" + name
				}
			}
			if paths = append(paths, path); len(paths) == 64 {
				break
			}
		}
		tree := crowdTree(paths)
		for i := range tree.Groups {
			if i > 0 && given>>(i%16)&1 != 0 {
				tree.Groups[i].UID = 1000
			}
		}
		Classify(&tree)
		limits := Limits{Rows: int(rows), Share: int(share)}
		before := map[int]bool{}
		for i := range tree.Groups {
			before[i] = tree.Groups[i].Owner == i && tree.Groups[i].Kind != oom.KindPart
		}
		checkOwners(t, tree)
		FoldCrowds(&tree, limits)
		checkOwners(t, tree)
		NewNamer(Options{}).Name(&tree)
		checkOwners(t, tree)
		if again := tree.Folded; share > 0 && rows == 0 {
			FoldCrowds(&tree, limits)
			if tree.Folded > 0 {
				t.Errorf("%d rows were folded, and %d of what was left", again, tree.Folded)
			}
		}
	})
}

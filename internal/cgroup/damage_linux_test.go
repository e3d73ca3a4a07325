// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Whatever stands in a file, the value is unset and the rest is read.
func TestDamagedFiles(t *testing.T) {
	contents := map[string]string{
		"empty": "", "garbage": "\x00\xff\xfe\x01garbage", "words": "no number here\n",
		"beyond 2^64": "18446744073709551616\n", "negative": "-1\n", "long": string(make([]byte, 100<<10)),
		"beyond 2^64 with keys": "total_rss 99999999999999999999\nanon 99999999999999999999\noom_kill 99999999999999999999\n",
		"cut":                   "total_rss 12\ntotal_cache 34\nanon 1",
	}
	for name, content := range contents {
		t.Run(name, func(t *testing.T) {
			dir1, v1 := rootV1(t)
			dir2, v2 := rootV2(t)
			for _, mount := range []string{v1, v2} {
				for f := range numFiles {
					put(t, mount+"/bad/"+f.String(), content)
				}
			}
			groupV1(t, v1+"/bad/good", 7)
			groupV2(t, v2+"/bad/good", 7)
			for _, dir := range []string{dir1, dir2} {
				h := mustFind(t, options(dir, PartsAll))
				tree, skipped := mustRead(t, h)
				bad, good := group(t, tree, "/bad"), group(t, tree, "/bad/good")
				if bad.Usage.IsSet() || bad.Limit.IsSet() || bad.Events.OwnKills.IsSet() || bad.Peak.IsSet() || len(bad.PIDs) > 0 {
					t.Errorf("v%d: %+v", h.Version(), bad)
				}
				if good.Usage != oom.Of(7) || skipped != (oom.Skipped{}) {
					t.Errorf("v%d: usage %v, skipped %+v", h.Version(), good.Usage, skipped)
				}
			}
		})
	}
}

// A directory or a FIFO in place of a file, a symbolic link in place of a group.
func TestStrangeFiles(t *testing.T) {
	dir, mount := rootV1(t)
	groupV1(t, mount+"/a", 1)
	groupV1(t, mount+"/b", 2)
	for _, name := range []string{"/a/memory.failcnt", "/b/memory.failcnt"} {
		if err := os.Remove(mount + name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(mount+"/a/memory.failcnt", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(mount+"/b/memory.failcnt", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", mount+"/b/loop"); err != nil {
		t.Fatal(err)
	}
	tree, skipped := mustRead(t, mustFind(t, options(dir, 0)))
	if want := []string{"/", "/a", "/a/memory.failcnt", "/b"}; !slices.Equal(paths(tree), want) {
		t.Errorf("groups are %q", paths(tree))
	}
	if a := group(t, tree, "/a"); a.Events.Max.IsSet() || a.Usage != oom.Of(1) {
		t.Errorf("a: %+v", a)
	}
	if b := group(t, tree, "/b"); b.Events.Max.IsSet() || b.Usage != oom.Of(2) {
		t.Errorf("b: %+v", b)
	}
	if skipped.UnreadableGroups != 1 || skipped.VanishedGroups != 0 {
		t.Errorf("skipped %+v", skipped)
	}
}

// asNobody runs f without the right to read everything.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread() // for good: the thread ends with the test.
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Setfsuid(0)
		runtime.UnlockOSThread()
	}()
	f()
}

func TestPermissionDenied(t *testing.T) {
	dir, mount := rootV1(t)
	for _, g := range []string{"/file", "/all", "/all/child", "/nolist", "/nolist/child", "/noenter", "/noenter/child", "/open"} {
		groupV1(t, mount+g, 5)
	}
	chmod := func(path string, mode os.FileMode) {
		if err := os.Chmod(mount+path, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(mount+path, 0o755) })
	}
	for p := dir; p != filepath.Clean(os.TempDir()); p = filepath.Dir(p) { // t.TempDir is for its owner only.
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	chmod("/file/memory.failcnt", 0)
	chmod("/all/memory.usage_in_bytes", 0)
	chmod("/all/memory.stat", 0)
	chmod("/nolist", 0o311)
	chmod("/noenter", 0o644)
	asNobody(t, func() {
		h := mustFind(t, options(dir, PartsAll))
		tree, skipped := mustRead(t, h)
		want := []string{"/", "/all", "/all/child", "/file", "/noenter", "/nolist", "/open"}
		if !slices.Equal(paths(tree), want) {
			t.Errorf("groups are %q", paths(tree))
		}
		// file, all, nolist and noenter; nobody can tell what is in the last two.
		if skipped.UnreadableGroups != 4 || skipped.VanishedGroups != 0 {
			t.Errorf("skipped %+v", skipped)
		}
		if g := group(t, tree, "/file"); g.Events.Max.IsSet() || g.Usage != oom.Of(5) {
			t.Errorf("file: %+v", g)
		}
		for _, path := range []string{"/all", "/noenter"} {
			if g := group(t, tree, path); g.Usage.IsSet() || g.Stat.Anon.IsSet() {
				t.Errorf("%s: %+v", path, g)
			}
		}
		if g := group(t, tree, "/nolist"); g.Usage != oom.Of(5) {
			t.Errorf("nolist: %+v", g)
		}
		if _, err := h.ReadGroup("/all"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("error is %v", err)
		}
	})
}

// Whichever file is the first to be missing, a group that was removed leaves no
// row, and its subtree none either.
func TestVanishedHalfWay(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		names := filesOf(t, version)
		for _, name := range names {
			for _, kills := range []bool{false, true} {
				t.Run(version+" "+name, func(t *testing.T) {
					vanish(t, version, name, kills, unix.Errno(0))
					vanish(t, version, name, kills, unix.ENODEV)
				})
			}
		}
	}
}

func vanish(t *testing.T, version, name string, kills bool, errno unix.Errno) {
	t.Helper()
	dir := unpack(t, version)
	h := mustFind(t, options(dir, PartsAll))
	victim := "/kubepods/pod1"
	if version == "v2" {
		victim = "/kubepods.slice/pod1.slice"
	}
	done := false
	h.hook = func(path, n string) unix.Errno {
		if path != victim || n != name {
			return 0
		}
		if !done {
			done = true
			if err := os.RemoveAll(h.Mount() + victim); err != nil {
				t.Error(err)
			}
		}
		return errno // the file was opened before, and read after.
	}
	read := h.Read
	if kills {
		read = h.ReadKills
	}
	tree, skipped, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if !done { // the light pass does not open it.
		return
	}
	checkTree(t, tree)
	for _, p := range paths(tree) {
		if _, in := below(victim, p); in {
			t.Errorf("%s is still there", p)
		}
	}
	if skipped.VanishedGroups != 1 || skipped.UnreadableGroups != 0 {
		t.Errorf("skipped %+v", skipped)
	}
	tree, skipped, err = read()
	if err != nil || skipped != (oom.Skipped{}) || slices.Contains(paths(tree), victim) {
		t.Errorf("next pass: %q, skipped %+v, %v", paths(tree), skipped, err)
	}
}

// filesOf are the files that a pass with all parts opens in a group.
func filesOf(t *testing.T, fixture string) []string {
	t.Helper()
	h := mustFind(t, options(unpack(t, fixture), PartsAll))
	var names []string
	h.hook = func(_, name string) unix.Errno {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		return 0
	}
	mustRead(t, h)
	if len(names) < 8 {
		t.Fatalf("only %q are read", names)
	}
	return names
}

// A group that is removed and made again under the same name is another one.
func TestReplacedHalfWay(t *testing.T) {
	dir, mount := rootV1(t)
	groupV1(t, mount+"/a", 1)
	groupV1(t, mount+"/keep-the-inode-busy", 1)
	h := mustFind(t, options(dir, 0))
	before, _ := mustRead(t, h)
	h.hook = func(path, name string) unix.Errno {
		if path == "/a" && name == "memory.stat" {
			h.hook = nil
			if err := os.Rename(mount+"/a", dir+"/old"); err != nil { // keeps its inode from being used again.
				t.Error(err)
			}
			groupV1(t, mount+"/a", 2)
			if err := os.Remove(dir + "/old/memory.stat"); err != nil {
				t.Error(err)
			}
		}
		return 0
	}
	tree, skipped := mustRead(t, h)
	if slices.Contains(paths(tree), "/a") || skipped.VanishedGroups != 1 {
		t.Errorf("groups %q, skipped %+v", paths(tree), skipped)
	}
	after, _ := mustRead(t, h)
	old, now := group(t, before, "/a"), group(t, after, "/a")
	if now.Usage != oom.Of(2) || now.Inode == old.Inode {
		t.Errorf("usage %v, inodes %d and %d", now.Usage, old.Inode, now.Inode)
	}
}

// Between two passes groups come and go; that is nobody's loss.
func TestChurnBetweenPasses(t *testing.T) {
	dir, mount := rootV1(t)
	for _, g := range []string{"/pod/a", "/pod/b", "/pod/c"} {
		groupV1(t, mount+g, 1)
	}
	groupV1(t, mount+"/pod", 3)
	h := mustFind(t, options(dir, 0))
	check := func(want ...string) {
		t.Helper()
		for range 2 {
			tree, skipped := mustRead(t, h)
			if got := paths(tree); !slices.Equal(got, want) || skipped != (oom.Skipped{}) {
				t.Errorf("groups %q, want %q; skipped %+v", got, want, skipped)
			}
		}
	}
	remove := func(path string) {
		if err := os.RemoveAll(mount + path); err != nil {
			t.Fatal(err)
		}
	}
	check("/", "/pod", "/pod/a", "/pod/b", "/pod/c")
	remove("/pod/b")
	check("/", "/pod", "/pod/a", "/pod/c")
	remove("/pod/c") // as many as before, but others.
	groupV1(t, mount+"/pod/d", 1)
	tree, _ := mustRead(t, h)
	group(t, tree, "/pod/d")
	check("/", "/pod", "/pod/a", "/pod/d")
	remove("/pod/a")
	remove("/pod/d")
	check("/", "/pod")
	groupV1(t, mount+"/pod/new/sub", 1)
	groupV1(t, mount+"/pod/new", 1)
	check("/", "/pod", "/pod/new", "/pod/new/sub")
}

func TestPathsAreTheSameStrings(t *testing.T) {
	h := mustFind(t, options(unpack(t, "v1"), PartsAll))
	a, _ := mustRead(t, h)
	b, _ := mustRead(t, h)
	for i := range a.Groups {
		if &a.Groups[i] == &b.Groups[i] {
			t.Fatal("two passes share their groups")
		}
		if dataOf(a.Groups[i].Path) != dataOf(b.Groups[i].Path) {
			t.Errorf("the path %s was built twice", a.Groups[i].Path)
		}
	}
	if p, q := a.Groups[0].PIDs, b.Groups[0].PIDs; !slices.Equal(p, q) {
		t.Errorf("pids %v and %v", p, q)
	}
}

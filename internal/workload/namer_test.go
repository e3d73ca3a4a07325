// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestNameAtFirstSight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &fakeSource{names: []found{isApp(idA, "app"), isPod(podUID)}, takes: 10 * time.Millisecond}
		n := newNamer(Options{}, []source{names})
		tree, took := scan(n, pathA+"/sub", "/system.slice/x.service")
		expectRow(t, tree, podPath, "default|web-0|")
		expectRow(t, tree, pathA, "default|web-0|app")
		expectRow(t, tree, pathA+"/sub", "default|web-0|app")
		expectRow(t, tree, "/system.slice/x.service", "||x.service")
		if took != 10*time.Millisecond {
			t.Errorf("waited %v for a source that takes 10ms", took)
		}
		for range 5 {
			tree, took = scan(n, pathA)
			expectRow(t, tree, pathA, "default|web-0|app")
			if took != 0 {
				t.Errorf("waited %v for nothing new", took)
			}
			later(time.Minute)
		}
		if len(names.questions()) != 1 {
			t.Errorf("asked %d times about one container", len(names.questions()))
		}
		names.set([]found{isApp(idA, "app"), isApp(idB, "side")}, nil)
		tree, _ = scan(n, pathA, pathB)
		expectRow(t, tree, pathB, "default|web-0|side")
		if len(names.questions()) != 2 {
			t.Errorf("asked %d times about two containers", len(names.questions()))
		}
	})
}

func TestNameWaitsForNobodyTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := &fakeSource{called: "hung", hang: make(chan struct{})}
		quick := &fakeSource{called: "quick", names: []found{isApp(idA, "app")}}
		n := newNamer(Options{}, []source{quick, hung})
		tree, took := scan(n, pathA)
		expectRow(t, tree, pathA, "default|web-0|app")
		if took != 0 {
			t.Errorf("waited %v though the name was found", took)
		}
		later(time.Second)
		// B has no name: only the first who asks waits, and then all 50 ms.
		hungOnly := newNamer(Options{}, []source{hung})
		if _, took = scan(hungOnly, pathB); took != 50*time.Millisecond {
			t.Errorf("waited %v for a source that hangs", took)
		}
		if _, took = scan(hungOnly, pathB, pathC); took != 0 {
			t.Errorf("waited %v more for it", took)
		}
		if _, took = scan(n, pathA, pathB); took != 0 {
			t.Errorf("waited %v for a source that hung before", took)
		}
		close(hung.hang)
		synctest.Wait()
	})
}

func TestLateName(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			names := &fakeSource{names: []found{isPod(podUID)}}
			n := newNamer(Options{}, []source{names})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if running {
				go n.Run(ctx)
			}
			tree, _ := scan(n, pathA)
			expectRow(t, tree, podPath, "default|web-0|")
			expectRow(t, tree, pathA, "default|web-0|"+shortA)

			later(20 * time.Millisecond)
			names.set([]found{isApp(idA, "app"), isPod(podUID)}, nil)
			later(100 * time.Millisecond)
			synctest.Wait()
			id, known := n.Lookup(pathA)
			if known != running {
				t.Errorf("100 ms later Lookup says %+v, %v; with Run: %v", id, known, running)
			}
			scan(n, pathA) // without Run, this starts the lookup.
			synctest.Wait()
			tree, took := scan(n, pathA)
			expectRow(t, tree, pathA, "default|web-0|app")
			if took != 0 {
				t.Errorf("waited %v for a container seen before", took)
			}
			cancel()
			synctest.Wait()
		})
	}
}

// What never gets a name is looked for less and less, and not once the group
// is gone.
func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &fakeSource{}
		n := newNamer(Options{}, []source{names})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go n.Run(ctx)
		scan(n, pathA)
		later(time.Hour)
		if got := len(names.questions()); got < 60 || got > 75 {
			t.Errorf("asked %d times in an hour about a living container", got)
		}
		scan(n, "/x")
		scan(n, "/x")
		later(time.Minute)
		before := len(names.questions())
		later(time.Hour)
		if got := len(names.questions()); got != before {
			t.Errorf("asked %d times more about a dead one", got-before)
		}
		cancel()
		synctest.Wait()
	})
}

// On a host that starts containers all the time, the dead without a name are
// not asked about each time.
func TestNamelessDeadAmongTheNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &fakeSource{}
		n := newNamer(Options{}, []source{names})
		n.Lookup(pathA) // killed before any scan.
		scan(n, pathB)
		scan(n, "/x")
		scan(n, "/x")
		later(deadFor)
		before := len(names.questions())
		scan(n, pathC)
		synctest.Wait()
		asked := names.questions()[before:]
		if len(asked) != 1 || len(asked[0]) != 1 || asked[0][0].ID != idC {
			t.Errorf("asked about %+v, want only the new one", asked)
		}
	})
}

// Who counts a kill waits for names that are being looked up, but not for a
// source that hangs, and not again and again.
func TestSettle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		quick := &fakeSource{names: []found{isApp(idA, "app")}, takes: 20 * time.Millisecond}
		hung := &fakeSource{hang: make(chan struct{})}
		n := newNamer(Options{}, []source{quick, hung})
		settle := func() time.Duration {
			start := time.Now()
			n.Settle()
			return time.Since(start)
		}
		if took := settle(); took != 0 {
			t.Errorf("waited %v for nothing", took)
		}
		n.Lookup(pathA)
		if took := settle(); took > 50*time.Millisecond {
			t.Errorf("waited %v", took)
		}
		if id, known := n.Lookup(pathA); !known {
			t.Errorf("after that it is known as %+v", id)
		}
		for _, path := range []string{pathB, pathC} {
			n.Lookup(path)
			if took := settle(); took > 20*time.Millisecond {
				t.Errorf("waited %v for a source that hung before", took)
			}
		}
		close(hung.hang)
		synctest.Wait()
	})
}

func TestNamesOfTheDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &fakeSource{names: []found{isApp(idA, "app"), isPod(podUID)}}
		n := newNamer(Options{TTL: 10 * time.Minute}, []source{names})
		scan(n, pathA)
		names.set(nil, nil)
		for range 9 {
			later(time.Minute)
			scan(n, "/x.scope")
		}
		for path, want := range map[string]string{
			pathA: "default|web-0|app", pathA + "/sub": "default|web-0|app", podPath: "default|web-0|",
		} {
			id, known := n.Lookup(path)
			if got := row(&oom.Group{Identity: id}); got != want || !known {
				t.Errorf("Lookup(%s) = %q, %v", path, got, known)
			}
		}
		// A group of the same id that is not the one that had the name.
		later(30 * time.Minute)
		scan(n, "/x.scope")
		if id, known := n.Lookup(pathA); known {
			t.Errorf("after its time the dead is still %+v", id)
		}
		synctest.Wait()
	})
}

// A container that one source listed before it was seen is asked about at the
// others too, without a wait.
func TestListedBeforeSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		list := &fakeSource{names: []found{isApp(idA, "app"), isApp(idB, "side")}, takes: time.Millisecond}
		files := &fakeSource{takes: time.Millisecond}
		n := newNamer(Options{}, []source{list, files})
		scan(n, pathA)
		synctest.Wait()
		if _, took := scan(n, pathA, pathB); took != 0 {
			t.Errorf("waited %v for a name that was there", took)
		}
		later(10 * time.Millisecond)
		asked := files.questions()
		if len(asked) != 2 || len(asked[1]) != 1 || asked[1][0].ID != idB {
			t.Errorf("asked for %+v", asked)
		}
	})
}

// Who only passes by waits for nothing, but brings about that the next one
// need not either.
func TestNameKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &fakeSource{names: []found{isApp(idA, "app"), isPod(podUID)}, takes: 60 * time.Millisecond}
		n := newNamer(Options{}, []source{names})
		tree := treeOf(pathA)
		Classify(tree)
		start := time.Now()
		n.NameKnown(tree)
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v", took)
		}
		expectRow(t, tree, pathA, standInA)
		later(60 * time.Millisecond)
		synctest.Wait()
		n.NameKnown(tree)
		expectRow(t, tree, pathA, "default|web-0|app")
		if len(names.questions()) != 1 {
			t.Errorf("asked %d times", len(names.questions()))
		}
	})
}

// A container that no scan ever saw is named from its path in the kernel log.
func TestLookupOfTheUnseen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &fakeSource{names: []found{isApp(idA, "app"), isPod(podUID)}}
		n := newNamer(Options{}, []source{names})
		if id, known := n.Lookup(pathA); known || !id.StandIn || id.Workload.Container != shortA {
			t.Errorf("Lookup = %+v, %v", id, known)
		}
		n.Settle()
		if id, known := n.Lookup(pathA); !known || id.Workload.Container != "app" {
			t.Errorf("Lookup = %+v, %v", id, known)
		}
		if asked := names.questions(); len(asked) != 1 || len(asked[0]) != 1 || asked[0][0].Live {
			t.Errorf("asked for %+v", asked)
		}
		for path, want := range map[string]string{
			"/": "||/", "/system.slice/x.service/sub": "||x.service", "/batch": "||/batch", "/lxc.monitor.web": "||web",
		} {
			if id, known := n.Lookup(path); !known || row(&oom.Group{Identity: id}) != want {
				t.Errorf("Lookup(%s) = %+v, %v", path, id, known)
			}
		}
	})
}

// Names are wanted while others scan.
func TestNamerConcurrently(t *testing.T) {
	t.Parallel()
	n := newNamer(Options{Wait: 10 * time.Second}, []source{&fakeSource{names: []found{isApp(idA, "app"), isPod(podUID)}}})
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { n.Run(ctx) })
	for i := range 4 {
		wait.Go(func() {
			for range 50 {
				tree, _ := scan(n, pathA, pathB)
				expectRow(t, tree, pathA, "default|web-0|app")
				n.Lookup(fmt.Sprintf("/docker/%08x%s", i, idA[8:]))
			}
		})
	}
	wait.Go(func() { time.AfterFunc(50*time.Millisecond, cancel) })
	wait.Wait()
	if waits := n.lookup(time.Now()); waits != nil {
		t.Error("looks up after its end")
	}
}

func TestDefaultOptions(t *testing.T) {
	t.Parallel()
	root := writeFiles(t, map[string]string{
		"var/log/containers/web-0_default_app-" + idA + ".log": "",
		"var/lib/docker/containers/" + idB + "/config.v2.json": `{"Name":"/cache","Config":{"Image":"redis:7"}}`,
	})
	o := DefaultOptions(root)
	o.Wait = 10 * time.Second
	n := NewNamer(o)
	tree, _ := scan(n, pathA, "/system.slice/docker-"+idB+".scope")
	expectRow(t, tree, pathA, "default|web-0|app")
	expectRow(t, tree, "/system.slice/docker-"+idB+".scope", "||cache")
	if g := find(t, tree, "/system.slice/docker-"+idB+".scope"); g.Image != "redis:7" {
		t.Errorf("image %q", g.Image)
	}
	if got := DefaultOptions("").LogDirs[0]; got != "/var/log/containers" {
		t.Errorf("without a root the logs are in %s", got)
	}
}

func BenchmarkName(b *testing.B) {
	tree := bigTree(3000)
	names := &fakeSource{}
	Classify(tree)
	for i := range tree.Groups {
		if g := &tree.Groups[i]; isID(g.ContainerID) {
			names.names = append(names.names, found{ID: g.ContainerID, PodUID: g.PodUID, Workload: isApp("", "app").Workload})
		}
	}
	n := newNamer(Options{Wait: 10 * time.Second}, []source{names})
	n.Name(tree)
	b.ReportAllocs()
	for b.Loop() {
		n.Name(tree)
	}
}

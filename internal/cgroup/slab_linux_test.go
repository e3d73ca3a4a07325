// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestParseDentryState(t *testing.T) {
	for text, want := range map[string]oom.Amount{
		"143765\t142332\t45\t0\t19490\t0\n": oom.Of(1433),
		"100\t100\t45\t0\t0\t0\n":           oom.Of(0),
		"90\t100\t45\t0\t0\t0\n":            oom.Of(0), // the two are not of the same moment.
		"143765\t142332\n":                  {},
		"143765 142332 45 0 19490 0\n":      {},
		"-1\t142332\t45\t0\t0\t0\n":         {},
		"":                                  {},
	} {
		if got := parseDentryState([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzDentryState(f *testing.F) {
	f.Add([]byte("143765\t142332\t45\t0\t19490\t0\n"))
	f.Add([]byte("18446744073709551616\t1\t"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a := parseDentryState(b); a.IsUnlimited() {
			t.Errorf("%q: %v", b, a)
		}
	})
}

// seen is one pass over a cgroup: its slab and the machine's in MiB, the
// machine's dentries in use in thousands, its hits and what is pinned then.
type seen struct {
	slab, everybody, dentries uint64
	hits, ooms                uint64
	near                      bool
	pinned                    uint64
}

// TestSlabPinned follows cgroups over passes that are seconds or minutes apart.
func TestSlabPinned(t *testing.T) {
	for name, passes := range map[string][]seen{
		"files of tmpfs pin what they have":        {{1, 50, 2, 0, 0, false, 0}, {5, 54, 22, 0, 0, false, 4}, {10, 59, 47, 0, 0, false, 9}, {20, 69, 97, 7, 0, true, 20}},
		"real files do not, below the limit":       {{1, 50, 2, 0, 0, false, 0}, {200, 249, 2, 0, 0, false, 0}},
		"real files do not, at the limit":          {{1, 50, 2, 0, 0, false, 0}, {40, 89, 2, 100, 0, true, 1}, {40, 89, 2, 900, 0, true, 1}, {41, 90, 2, 1900, 0, true, 1}, {39, 88, 2, 2900, 0, true, 1}},
		"real files when others fill tmpfs before": {{0, 50, 90, 0, 0, false, 0}, {40, 90, 90, 100, 0, true, 0}, {40, 90, 90, 300, 0, true, 0}},
		"real files, of which a few are open":      {{0, 50, 2, 0, 0, false, 0}, {400, 450, 12, 100, 0, true, 10}},
		"both":                                     {{0, 50, 2, 0, 0, false, 0}, {20, 70, 42, 0, 0, false, 20}, {60, 110, 42, 0, 0, false, 20}, {50, 100, 42, 9, 0, true, 20}, {61, 111, 42, 19, 0, true, 20}},
		"files of tmpfs are removed":               {{0, 50, 2, 0, 0, false, 0}, {20, 70, 42, 5, 0, true, 20}, {2, 52, 4, 5, 0, false, 2}, {30, 80, 4, 9, 0, true, 2}},
		"before the first pass, then a hit":        {{20, 70, 42, 3, 0, false, 0}, {20, 70, 42, 3, 0, false, 0}, {20, 70, 42, 9, 0, false, 20}},
		"before the first pass, then near":         {{20, 70, 42, 0, 0, false, 0}, {20, 70, 42, 0, 0, true, 20}},
		"before the first pass, and it shrinks":    {{20, 70, 2, 3, 0, false, 0}, {4, 54, 2, 9, 0, false, 0}, {4, 54, 2, 19, 0, false, 1}},
		"reclaim was of no use":                    {{0, 50, 2, 0, 0, false, 0}, {20, 70, 90, 9, 0, false, 20}, {30, 70, 90, 99, 1, true, 30}},
		"others fill tmpfs at the same time":       {{0, 50, 2, 0, 0, false, 0}, {10, 150, 42, 0, 0, false, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			var s slab
			for i, p := range passes {
				got := s.update(slabReading{
					bytes: p.slab * mi, machine: p.everybody * mi, dentries: oom.Of(p.dentries * 1000),
					hits: p.hits, ooms: p.ooms, near: p.near,
				})
				if (got+mi/2)/mi != p.pinned {
					t.Errorf("pass %d: %.1f MiB are pinned, want %d", i, float64(got)/mi, p.pinned)
				}
			}
		})
	}
}

// TestSlabWithoutDentryState goes by the hits alone.
func TestSlabWithoutDentryState(t *testing.T) {
	var s slab
	for i, p := range []seen{
		{20, 0, 0, 5, 0, false, 0},
		{20, 0, 0, 5, 0, true, 0},  // no hit.
		{10, 0, 0, 9, 0, true, 0},  // went away,
		{30, 0, 0, 9, 0, false, 0}, // and came again.
		{30, 0, 0, 12, 0, true, 30},
		{31, 0, 0, 12, 0, false, 30},
		{25, 0, 0, 12, 0, false, 25}, // removed.
		{10, 0, 0, 15, 0, false, 0},
	} {
		if got := s.update(slabReading{bytes: p.slab * mi, hits: p.hits, near: p.near}); got != p.pinned*mi {
			t.Errorf("pass %d: %d MiB are pinned, want %d", i, got/mi, p.pinned)
		}
	}
}

// TestSlabNoDrift: where a cgroup's slab and the machine's dentries both go up
// and down, each for itself, nothing adds up.
func TestSlabNoDrift(t *testing.T) {
	var s slab
	var got uint64
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		got = max(got, s.update(slabReading{
			bytes: 20*mi + rng.Uint64N(2*mi), dentries: oom.Of(50_000 + rng.Uint64N(1000)), machine: 1000*mi + rng.Uint64N(40*mi),
		}))
	}
	if got > 6*mi {
		t.Errorf("%d KiB are pinned after all", got>>10)
	}
}

// TestReadSlabPinned goes through the files: the cgroup's own limit and its
// parent's, a cgroup that comes again with its name, and passes that rest.
func TestReadSlabPinned(t *testing.T) {
	dir, mount := rootV2(t)
	state := func(inUse int) {
		put(t, dir+"/proc/sys/fs/dentry-state", fmt.Sprintf("%d\t1000\t45\t0\t0\t0\n", 1000+inUse))
	}
	slabOf := func(name string, n, hits int) {
		put(t, mount+name+"/memory.stat", fmt.Sprintf("anon 0\nkernel 0\nslab_reclaimable %d\n", n*mi))
		put(t, mount+name+"/memory.events", fmt.Sprintf("max %d\noom 0\noom_kill 0\n", hits))
		put(t, mount+name+"/memory.events.local", fmt.Sprintf("max %d\noom 0\noom_kill 0\n", hits))
	}
	for _, name := range []string{"/pod", "/pod/c"} {
		groupV2(t, mount+name, 40*mi)
		put(t, mount+name+"/memory.max", fmt.Sprintln(100*mi))
		slabOf(name, 1, 0)
	}
	state(1000)
	h := mustFind(t, options(dir, PartsAll))
	tree, _ := mustRead(t, h)
	if g := group(t, tree, "/pod/c"); g.SlabPinned != 0 {
		t.Errorf("%d are pinned at first sight", g.SlabPinned)
	}
	state(60_000)
	slabOf("/pod", 31, 4)
	slabOf("/pod/c", 31, 0)
	tree, _ = mustRead(t, h)
	for _, name := range []string{"/pod", "/pod/c"} {
		if g := group(t, tree, name); g.SlabPinned < 30*mi || g.SlabPinned > 31*mi {
			t.Errorf("%d MiB of %s are pinned, want 30", g.SlabPinned/mi, name)
		}
	}
	if err := os.Rename(mount+"/pod/c", mount+"/old"); err != nil {
		t.Fatal(err)
	}
	groupV2(t, mount+"/pod/c", mi)
	slabOf("/pod/c", 20, 0)
	tree, _ = mustRead(t, h)
	if g := group(t, tree, "/pod/c"); g.SlabPinned != 0 {
		t.Errorf("a new cgroup has %d of the one before", g.SlabPinned)
	}
}

// TestSlabOfUnreadEvents: counters that could not be read once have not moved.
func TestSlabOfUnreadEvents(t *testing.T) {
	dir, mount := rootV2(t)
	put(t, dir+"/proc/sys/fs/dentry-state", "51000\t1000\t45\t0\t0\t0\n")
	groupV2(t, mount+"/c", 40*mi)
	put(t, mount+"/c/memory.max", fmt.Sprintln(100*mi))
	put(t, mount+"/c/memory.stat", fmt.Sprintf("anon 0\nkernel 0\nslab_reclaimable %d\n", 30*mi))
	for _, name := range []string{"/memory.events", "/memory.events.local"} {
		put(t, mount+"/c"+name, "max 9\noom 3\noom_kill 0\n")
	}
	h := mustFind(t, options(dir, PartsAll))
	for i := range 3 {
		h.hook = func(_, name string) unix.Errno {
			if i == 1 && strings.HasPrefix(name, "memory.events") {
				return unix.EACCES
			}
			return 0
		}
		tree, _ := mustRead(t, h)
		if g := group(t, tree, "/c"); g.SlabPinned != 0 || g.Events.OOMs.IsSet() != (i != 1) {
			t.Errorf("pass %d: %d MiB are pinned, %v OOMs", i, g.SlabPinned/mi, g.Events.OOMs)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const containerID = "000000000000000000000000000000000000000000000000000000000000000" + "1"

// diff compares a group with what its fixture says, but for inode and place.
func diff(want, got oom.Group) string {
	return cmp.Diff(want, got, amounts(), cmpopts.IgnoreFields(oom.Group{}, "GroupID.Inode", "Parent", "Owner", "UID"))
}

func TestReadV1(t *testing.T) {
	h := mustFind(t, options(unpack(t, "v1"), PartsAll&^PartStartTime))
	tree, skipped := mustRead(t, h)
	if tree.Version != 1 || h.Version() != 1 || skipped != (oom.Skipped{}) {
		t.Errorf("version %d, skipped %+v", tree.Version, skipped)
	}
	wantPaths := []string{"/", "/kubepods", "/kubepods/pod1", "/kubepods/pod1/" + containerID}
	if d := cmp.Diff(wantPaths, paths(tree)); d != "" {
		t.Error(d)
	}
	want := oom.Group{
		GroupID: oom.GroupID{Path: "/kubepods/pod1/" + containerID},
		Usage:   oom.Of(120 * mi), Peak: oom.Of(127 * mi), Limit: oom.Of(128 * mi),
		MemswUsage: oom.Of(123 * mi), MemswLimit: oom.Of(256 * mi),
		Stat: oom.Stat{
			Anon: oom.Of(90 * mi), AnonHuge: oom.Of(0), File: oom.Of(25 * mi), Shmem: oom.Of(4 * mi), Kernel: oom.Of(5 * mi),
			ActiveFile: oom.Of(9 * mi), InactiveFile: oom.Of(10 * mi), Unevictable: oom.Of(2 * mi), Swap: oom.Of(3 * mi),
		},
		Events:     oom.Events{Max: oom.Of(42), OwnKills: oom.Of(3)},
		Swappiness: oom.Of(0), Hierarchical: true, KillDisabled: oom.Of(1), UnderOOM: oom.Of(1),
		PIDs: []int32{4000, 4001, 4194304},
	}
	if d := diff(want, tree.Groups[3]); d != "" {
		t.Error(d)
	}
	root := tree.Groups[0]
	if !root.Limit.IsUnlimited() || root.Usage != oom.Of(900*mi) || !slices.Equal(root.PIDs, []int32{1, 2, 77}) {
		t.Errorf("root: limit %v, usage %v, pids %v", root.Limit, root.Usage, root.PIDs)
	}
	if ws := tree.Groups[2].WorkingSet(); ws != oom.Of(170*mi) {
		t.Errorf("working set of the pod is %v", ws)
	}
}

// Both passes say who may make groups in a directory: its owner, and where the
// mode says so, others as well.
func TestOwners(t *testing.T) {
	for fixture, path := range map[string]string{"v1": "/kubepods/pod1", "v2": "/kubepods.slice/pod1.slice"} {
		dir := unpack(t, fixture)
		h := mustFind(t, options(dir, 0))
		want := uint32(os.Getuid())
		if want == 0 {
			want = 1000
			if err := os.Chown(filepath.Join(h.place.dir, path), int(want), int(want)); err != nil {
				t.Fatal(err)
			}
		}
		for mode, want := range map[os.FileMode]uint32{0o755: want, 0o775: oom.Anybody, 0o777: oom.Anybody} {
			if err := os.Chmod(filepath.Join(h.place.dir, path), mode); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				read, _ := mustRead(t, h)
				for _, tree := range []oom.Tree{read, mustReadKills(t, h)} {
					if g := group(t, tree, path); g.UID != want {
						t.Errorf("%s: %s with mode %o is of user %d, want %d", fixture, path, mode, g.UID, want)
					}
				}
			}
		}
	}
}

func TestReadV1OfCentOS7(t *testing.T) {
	tree, skipped := mustRead(t, mustFind(t, options(unpack(t, "v1-3.10"), PartSwap)))
	if skipped != (oom.Skipped{}) {
		t.Errorf("skipped %+v", skipped)
	}
	slice := group(t, tree, "/system.slice")
	container := group(t, tree, "/system.slice/docker-"+containerID+".scope")
	if !slice.Limit.IsUnlimited() || container.Limit != oom.Of(64*mi) {
		t.Errorf("limits are %v and %v", slice.Limit, container.Limit)
	}
	for _, g := range tree.Groups {
		unsets := []oom.Amount{g.Events.OwnKills, g.Events.TreeKills, g.Stat.Swap, g.MemswUsage, g.MemswLimit, g.Stat.SlabReclaimable}
		for i, a := range unsets {
			if a.IsSet() {
				t.Errorf("%s: %d is %v", g.Path, i, a)
			}
		}
		if want := strings.HasPrefix(g.Path, "/system.slice"); g.Hierarchical != want {
			t.Errorf("%s: hierarchical is %v", g.Path, g.Hierarchical)
		}
	}
}

func TestReadV2(t *testing.T) {
	h := mustFind(t, options(unpack(t, "v2"), PartsAll&^PartStartTime))
	tree, skipped := mustRead(t, h)
	if tree.Version != 2 || skipped != (oom.Skipped{}) {
		t.Errorf("version %d, skipped %+v", tree.Version, skipped)
	}
	want := oom.Group{
		GroupID: oom.GroupID{Path: "/kubepods.slice/pod1.slice/cri-containerd-1.scope"},
		Usage:   oom.Of(120 * mi), Peak: oom.Of(128 * mi), Limit: oom.Of(128 * mi), High: oom.Of(112 * mi), Min: oom.Of(0),
		SwapUsage: oom.Of(4 * mi), SwapLimit: oom.Of(64 * mi),
		Stat: oom.Stat{
			Anon: oom.Of(90 * mi), File: oom.Of(20 * mi), Shmem: oom.Of(3 * mi), Kernel: oom.Of(6 * mi),
			ActiveFile: oom.Of(7 * mi), InactiveFile: oom.Of(8 * mi), Unevictable: oom.Of(mi), SlabReclaimable: oom.Of(2 * mi),
		},
		Events: oom.Events{
			High: oom.Of(1), Max: oom.Of(12), OOMs: oom.Of(1), GroupKills: oom.Of(1), TreeGroupKills: oom.Of(1),
			OwnKills: oom.Of(4), TreeKills: oom.Of(4),
		},
		Pressure:     oom.Pressure{WaitingMicros: oom.Of(123456), StalledMicros: oom.Of(7890)},
		Hierarchical: true, OOMGroup: true, PIDs: []int32{300, 301, 302},
	}
	if d := diff(want, group(t, tree, want.Path)); d != "" {
		t.Error(d)
	}
	// The pod's limit was hit twice, and killed in its containers: none of its own.
	pod := group(t, tree, "/kubepods.slice/pod1.slice")
	wantEvents := oom.Events{High: oom.Of(0), Max: oom.Of(8), OOMs: oom.Of(2), GroupKills: oom.Of(0), OwnKills: oom.Of(0), TreeKills: oom.Of(5), TreeGroupKills: oom.Of(1)}
	if d := cmp.Diff(wantEvents, pod.Events, amounts()); d != "" {
		t.Error(d)
	}
	if pod.Min != oom.Of(16*mi) || !pod.High.IsUnlimited() || !pod.SwapLimit.IsUnlimited() {
		t.Errorf("pod: min %v, high %v, swap limit %v", pod.Min, pod.High, pod.SwapLimit)
	}
}

// The root of v2 has memory.stat only, and a group without the memory controller
// has nothing at all: both stay, with nothing set.
func TestReadV2WithoutFiles(t *testing.T) {
	tree, _ := mustRead(t, mustFind(t, options(unpack(t, "v2"), PartProcs)))
	root := oom.Group{
		GroupID: oom.GroupID{Path: "/"}, Hierarchical: true, PIDs: []int32{1, 2},
		Stat: oom.Stat{
			Anon: oom.Of(300 * mi), File: oom.Of(400 * mi), Kernel: oom.Of(90 * mi), Shmem: oom.Of(0), Unevictable: oom.Of(0),
			ActiveFile: oom.Of(150 * mi), InactiveFile: oom.Of(200 * mi), SlabReclaimable: oom.Of(40 * mi),
		},
	}
	if d := diff(root, tree.Groups[0]); d != "" {
		t.Error(d)
	}
	scope := oom.Group{GroupID: oom.GroupID{Path: "/init.scope"}, Hierarchical: true, PIDs: []int32{1}}
	if d := diff(scope, group(t, tree, "/init.scope")); d != "" {
		t.Error(d)
	}
}

// The root of a container's own tree (cgroup namespace) is an ordinary group.
func TestReadV2FromInsideANamespace(t *testing.T) {
	dir, mount := rootV2(t)
	groupV2(t, mount, 5*mi)
	setEvents(t, mount, 3, 2)
	tree, _ := mustRead(t, mustFind(t, options(dir, 0)))
	root := tree.Groups[0]
	if root.Usage != oom.Of(5*mi) || root.Events.OwnKills != oom.Of(2) || root.Events.TreeKills != oom.Of(3) {
		t.Errorf("usage %v, events %+v", root.Usage, root.Events)
	}
}

func TestReadHybrid(t *testing.T) {
	h := mustFind(t, options(unpack(t, "hybrid"), PartProcs))
	if h.Version() != 1 || !strings.HasSuffix(h.Mount(), "/sys/fs/cgroup/memory") {
		t.Fatalf("found v%d at %s", h.Version(), h.Mount())
	}
	tree, _ := mustRead(t, h)
	c := group(t, tree, "/docker/"+containerID)
	if c.Limit != oom.Of(20*mi) || c.Events.OwnKills != oom.Of(1) || !slices.Equal(c.PIDs, []int32{5}) {
		t.Errorf("limit %v, kills %v, pids %v", c.Limit, c.Events.OwnKills, c.PIDs)
	}
}

func TestReadRootOnly(t *testing.T) {
	dir, _ := rootV1(t)
	tree, skipped := mustRead(t, mustFind(t, options(dir, PartsAll)))
	if len(tree.Groups) != 1 || skipped != (oom.Skipped{}) || tree.Groups[0].Usage != oom.Of(0) {
		t.Errorf("%d groups, skipped %+v, root %+v", len(tree.Groups), skipped, tree.Groups[0])
	}
}

// What is not asked for is not read.
func TestReadParts(t *testing.T) {
	for _, name := range []string{"v1", "v2"} {
		tree, _ := mustRead(t, mustFind(t, options(unpack(t, name), 0)))
		for _, g := range tree.Groups {
			parts := []oom.Amount{
				g.Peak, g.SwapUsage, g.SwapLimit, g.MemswUsage, g.MemswLimit, g.Min, g.Swappiness,
				g.Pressure.WaitingMicros, g.StartTime,
			}
			if i := slices.IndexFunc(parts, oom.Amount.IsSet); i >= 0 || g.PIDs != nil || g.Mems != nil {
				t.Errorf("%s %s: part %d is set, pids %v", name, g.Path, i, g.PIDs)
			}
		}
	}
}

func TestReadGroup(t *testing.T) {
	for _, name := range []string{"v1", "v2", "v2-5.2", "v2-4.19", "v1-3.10"} {
		h := mustFind(t, options(unpack(t, name), PartsAll))
		tree, _ := mustRead(t, h)
		for _, want := range tree.Groups {
			got, err := h.ReadGroup(want.Path)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if d := diff(want, got); d != "" || got.Inode != want.Inode {
				t.Errorf("%s %s: %s", name, want.Path, d)
			}
		}
	}
	h := mustFind(t, options(unpack(t, "v1"), 0))
	if _, err := h.ReadGroup("/kubepods/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if _, err := h.ReadGroup("/kubepods/../.."); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("error is %v", err)
	}
}

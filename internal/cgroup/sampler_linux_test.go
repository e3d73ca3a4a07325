// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// sampled is a Sampler with what its finds have told so far.
type sampled struct {
	*Sampler
	t     testing.TB
	known map[string]oom.FoundCgroup
	quiet map[oom.CgroupHandle]bool
}

func (s *sampled) isQuiet(h oom.CgroupHandle) bool { return s.quiet[h] }

func newSampled(t testing.TB, h *Hierarchy, o SamplerOptions) *sampled {
	t.Helper()
	s, err := h.Sampler(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &sampled{s, t, map[string]oom.FoundCgroup{}, map[oom.CgroupHandle]bool{}}
}

// find takes over what a find tells, and checks that it fits what was told.
func (s *sampled) find() {
	s.t.Helper()
	gone, found, err := s.Find(s.isQuiet)
	if err != nil {
		s.t.Fatal(err)
	}
	byHandle := map[oom.CgroupHandle]string{}
	for path, f := range s.known {
		byHandle[f.Handle] = path
	}
	for _, h := range gone {
		path, ok := byHandle[h]
		if !ok {
			s.t.Fatalf("handle %d is gone and was never found", h)
		}
		delete(s.known, path)
		delete(byHandle, h)
	}
	for _, f := range found {
		if path, taken := byHandle[f.Handle]; taken {
			s.t.Fatalf("handle %d is that of %s and %s", f.Handle, path, f.Path)
		}
		byHandle[f.Handle] = f.Path
		if _, twice := s.known[f.Path]; twice {
			s.t.Fatalf("%s was found twice", f.Path)
		}
		if f.Path != "/" && byHandle[f.Parent] != filepath.Dir(f.Path) {
			s.t.Fatalf("the parent of %s is %q", f.Path, byHandle[f.Parent])
		}
		s.known[f.Path] = f
	}
}

func (s *sampled) paths() (all []string) {
	for path := range s.known {
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

func (s *sampled) wantPaths(want ...string) {
	s.t.Helper()
	if got := s.paths(); !slices.Equal(got, want) {
		s.t.Errorf("cgroups %q, want %q", got, want)
	}
}

func (s *sampled) sample(path string) oom.Sample {
	s.t.Helper()
	var out oom.Sample
	if !s.Sample(s.known[path].Handle, &out) {
		s.t.Errorf("no sample of %s", path)
	}
	return out
}

func TestSamplerFollowsTheTree(t *testing.T) {
	dir, mount := rootV1(t)
	groupV1(t, mount+"/a", 3*mi)
	groupV1(t, mount+"/a/b", 2*mi)
	groupV1(t, mount+"/c", mi)
	s := newSampled(t, mustFind(t, options(dir, 0)), SamplerOptions{})
	s.find()
	s.wantPaths("/", "/a", "/a/b", "/c")
	if u := s.Usage(s.known["/a/b"].Handle); u != oom.Of(2*mi) {
		t.Errorf("usage %v", u)
	}
	groupV1(t, mount+"/a/d", mi)
	groupV1(t, mount+"/c/e/f", mi)
	groupV1(t, mount+"/c/e", mi)
	if err := os.RemoveAll(mount + "/a/b"); err != nil {
		t.Fatal(err)
	}
	gone := s.known["/a/b"].Handle
	if u := s.Usage(gone); u.IsSet() {
		t.Errorf("usage %v of a cgroup that is gone", u)
	}
	for range leafTurns {
		s.find()
	}
	s.wantPaths("/", "/a", "/a/d", "/c", "/c/e", "/c/e/f")
	// Removed and replaced, so that the number of links is the same. The other
	// one is made first: a file system may give a freed inode out again.
	before := s.known["/c/e"]
	groupV1(t, mount+"/x", mi)
	groupV1(t, mount+"/x/e", 5*mi)
	for _, name := range []string{"/c/e/f", "/c/e"} {
		if err := os.RemoveAll(mount + name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(mount+"/x/e", mount+"/c/e"); err != nil {
		t.Fatal(err)
	}
	for range 2 * leafTurns {
		s.find()
	}
	s.wantPaths("/", "/a", "/a/d", "/c", "/c/e", "/x")
	if after := s.known["/c/e"]; after.Inode == before.Inode {
		t.Errorf("still the cgroup that was removed, inode %d", after.Inode)
	}
	if u := s.Usage(s.known["/c/e"].Handle); u != oom.Of(5*mi) {
		t.Errorf("usage %v", u)
	}
}

// TestSamplerOfAnEmptyRoot begins before there is any cgroup.
func TestSamplerOfAnEmptyRoot(t *testing.T) {
	dir, mount := rootV2(t)
	s := newSampled(t, mustFind(t, options(dir, 0)), SamplerOptions{})
	s.find()
	s.wantPaths("/")
	groupV2(t, mount+"/first", mi)
	s.find()
	s.wantPaths("/", "/first")
}

// TestSamplerLooksWhereSomethingMoves has a child come into a cgroup that is quiet,
// and one into one that is not.
func TestSamplerLooksWhereSomethingMoves(t *testing.T) {
	dir, mount := rootV1(t)
	for _, name := range []string{"/a/b", "/a", "/leaf"} {
		groupV1(t, mount+name, mi)
	}
	s := newSampled(t, mustFind(t, options(dir, 0)), SamplerOptions{})
	for range leafTurns + 1 {
		s.find()
	}
	a, leaf := s.known["/a"].Handle, s.known["/leaf"].Handle
	s.quiet[a], s.quiet[leaf] = true, true
	for range leafTurns { // each has the turn that it has earned.
		s.find()
	}
	groupV1(t, mount+"/a/new", mi)
	for range leafTurns - 1 {
		s.find()
	}
	s.wantPaths("/", "/a", "/a/b", "/leaf")
	s.quiet[a] = false
	for range leafTurns {
		s.find()
	}
	s.wantPaths("/", "/a", "/a/b", "/a/new", "/leaf")
	// A cgroup without children that has moved for one find gets its turn all the same.
	groupV1(t, mount+"/leaf/first", mi)
	s.quiet[leaf] = false
	s.find()
	s.quiet[leaf] = true
	for range leafTurns {
		s.find()
	}
	s.wantPaths("/", "/a", "/a/b", "/a/new", "/leaf", "/leaf/first")
	// Whatever it looks like, nothing is left out for ever.
	groupV1(t, mount+"/a/late", mi)
	s.quiet[a] = true
	for range quietTurns {
		s.find()
	}
	if _, ok := s.known["/a/late"]; !ok {
		t.Error("a child that charges nothing was never found")
	}
}

func TestSamplesOfV1(t *testing.T) {
	dir, mount := rootV1(t)
	groupV1(t, mount+"/a", 30*mi)
	put(t, mount+"/a/memory.limit_in_bytes", fmt.Sprintln(64*mi))
	put(t, mount+"/a/memory.failcnt", "9\n")
	put(t, mount+"/a/memory.kmem.usage_in_bytes", fmt.Sprintln(2*mi))
	put(t, mount+"/a/memory.stat", fmt.Sprintf("cache 1\ntotal_cache %d\ntotal_rss %d\ntotal_shmem %d\ntotal_inactive_file %d\ntotal_active_file %d\n", 10*mi, 18*mi, mi, 4*mi, 5*mi))
	put(t, mount+"/a/cgroup.procs", "3\n4\n")
	groupV1(t, mount+"/a/b", mi)
	put(t, mount+"/a/b/cgroup.procs", "5\n")
	s := newSampled(t, mustFind(t, options(dir, 0)), SamplerOptions{})
	s.find()
	want := oom.Sample{
		Usage: oom.Of(30 * mi), Limit: oom.Of(64 * mi), Unreclaimable: oom.Of(21 * mi),
		Anon: oom.Of(18 * mi), Shmem: oom.Of(mi), File: oom.Of(10 * mi), Kernel: oom.Of(2 * mi), LimitHits: oom.Of(9),
	}
	if got := s.sample("/a"); got != want {
		t.Errorf("sample %+v\nwant %+v", got, want)
	}
	if got := s.Limit(s.known["/a/b"].Handle); !got.IsUnlimited() {
		t.Errorf("limit %v", got)
	}
	if pids := s.PIDs(nil, s.known["/a"].Handle, 10); !slices.Equal(pids, []int32{3, 4, 5}) {
		t.Errorf("processes %v", pids)
	}
}

func TestSamplesOfV2(t *testing.T) {
	dir, mount := rootV2(t)
	groupV2(t, mount+"/a", 30*mi)
	put(t, mount+"/a/memory.max", fmt.Sprintln(64*mi))
	put(t, mount+"/a/memory.events.local", "low 0\nhigh 0\nmax 5\noom 0\noom_kill 0\n")
	put(t, mount+"/a/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7000\n")
	put(t, mount+"/a/memory.stat", fmt.Sprintf("anon %d\nfile %d\nkernel %d\nshmem 0\ninactive_file %d\nactive_file 0\nslab_reclaimable %d\n", 18*mi, 10*mi, 2*mi, 4*mi, mi))
	groupV2(t, mount+"/odd", mi)
	put(t, mount+"/odd/memory.pressure/x", "") // read fails, as with psi=0.
	put(t, mount+"/off/cgroup.procs", "")      // without the memory controller.
	s := newSampled(t, mustFind(t, options(dir, 0)), SamplerOptions{})
	s.find()
	want := oom.Sample{
		Usage: oom.Of(30 * mi), Limit: oom.Of(64 * mi), Unreclaimable: oom.Of(25 * mi), Anon: oom.Of(18 * mi),
		Shmem: oom.Of(0), File: oom.Of(10 * mi), Kernel: oom.Of(2 * mi), LimitHits: oom.Of(5), StalledMicros: oom.Of(7000),
	}
	if got := s.sample("/a"); got != want {
		t.Errorf("sample %+v\nwant %+v", got, want)
	}
	if got := s.sample("/odd"); got.Usage != oom.Of(mi) || got.StalledMicros.IsSet() {
		t.Errorf("sample %+v", got)
	}
	for _, path := range []string{"/", "/off", "/odd/memory.pressure"} {
		var out oom.Sample
		if s.Sample(s.known[path].Handle, &out) {
			t.Errorf("%s has a sample: %+v", path, out)
		}
	}
	s.find()
	s.wantPaths("/", "/a", "/odd", "/odd/memory.pressure", "/off")
}

func TestSamplerIsBounded(t *testing.T) {
	dir, mount := rootV1(t)
	for i := range 30 {
		groupV1(t, fmt.Sprintf("%s/a/%02d", mount, i), mi)
	}
	s := newSampled(t, mustFind(t, options(dir, 0)), SamplerOptions{MaxGroups: 10})
	for range 3 {
		s.find()
		if len(s.known) != 10 || s.Over() != 22 {
			t.Fatalf("%d cgroups, %d over the bound", len(s.known), s.Over())
		}
	}
	for i := range 25 {
		if err := os.RemoveAll(fmt.Sprintf("%s/a/%02d", mount, i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s.find()
	}
	if len(s.known) != 7 || s.Over() != 0 {
		t.Errorf("%d cgroups, %d over the bound: %q", len(s.known), s.Over(), s.paths())
	}
}

// TestSamplerOfTheKernel has real cgroups come and go.
func TestSamplerOfTheKernel(t *testing.T) {
	h := live(t)
	rel := makeLive(t, h, "sampler")
	enable(t, h, rel) // without the controller nothing shows that a child is gone.
	parent := h.Mount() + rel
	s := newSampled(t, h, SamplerOptions{})
	s.find()
	for range leafTurns { // it was there before, without children: its turn comes.
		s.find()
	}
	if err := os.Mkdir(parent+"/first", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeLive(t, parent+"/first") })
	for range leafTurns {
		s.find()
	}
	if _, ok := s.known[rel+"/first"]; !ok {
		t.Fatalf("the first child was not found in %d finds", leafTurns)
	}
	for round := range 5 {
		for i := range 20 {
			if err := os.Mkdir(fmt.Sprintf("%s/r%d-%d", parent, round%2, i), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range s.known { // as who samples does: it shows who is gone.
			_ = s.Usage(f.Handle)
		}
		s.find()
		for i := range 20 {
			path := fmt.Sprintf("%s/r%d-%d", rel, round%2, i)
			f, ok := s.known[path]
			if !ok {
				t.Fatalf("round %d: %s was not found", round, path)
			}
			var st unix.Stat_t
			if err := unix.Stat(h.Mount()+path, &st); err != nil || st.Ino != f.Inode {
				t.Fatalf("inode %d of %s, want %d (%v)", f.Inode, path, st.Ino, err)
			}
			if h.Version() == 1 {
				if u := s.Usage(f.Handle); !u.IsValue() {
					t.Fatalf("usage %v of %s", u, path)
				}
			}
			if err := os.Remove(h.Mount() + path); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.find()
	s.find()
	for path := range s.known {
		if filepath.Dir(path) == rel && path != rel+"/first" {
			t.Errorf("%s is gone and still known", path)
		}
	}
}

// TestSamplerGivesDescriptorsBack has no descriptors left.
func TestSamplerGivesDescriptorsBack(t *testing.T) {
	h := live(t)
	rel := makeLive(t, h, "sampler")
	enable(t, h, rel)
	parent := h.Mount() + rel
	for i := range 40 {
		if err := os.Mkdir(fmt.Sprintf("%s/%d", parent, i), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(fmt.Sprintf("%s/%d", parent, i)) })
	}
	s := newSampled(t, h, SamplerOptions{MaxFiles: 1 << 20})
	scarceFDs(t, 20)
	s.find()
	if s.files > s.maxFiles || s.maxFiles > 15 {
		t.Errorf("%d descriptors are kept, at most %d", s.files, s.maxFiles)
	}
	s.find()
	for i := range 40 {
		f, ok := s.known[fmt.Sprintf("%s/%d", rel, i)]
		if !ok {
			t.Fatalf("cgroup %d was not found", i)
		}
		if u := s.Usage(f.Handle); h.Version() == 1 && !u.IsValue() {
			t.Errorf("usage %v of cgroup %d", u, i)
		}
	}
}

// A crowd takes no place from those that come before or after it, wherever it
// stands, and the Sampler never knows more than it may.
func TestSamplerCrowdStarvesNobody(t *testing.T) {
	wide := shape{}
	for i := range 20 {
		wide[fmt.Sprintf("w%02d", i)] = leaves(20)
	}
	for name, crowd := range map[string]shape{"flat": leaves(800), "wide": wide} {
		for _, at := range []string{"/kubepods/burstable/a/c", "/kubepods/burstable/zz/c", "/user.slice/u/app"} {
			t.Run(name+at, func(t *testing.T) {
				dir, mount := rootV1(t)
				early, late := pods("early", 20), pods("late", 20)
				early.make(t, mount+"/kubepods/burstable")
				o := options(dir, 0)
				const most = 300 // of which 124 are honest: less than half.
				begun := newSampled(t, mustFind(t, o), SamplerOptions{MaxGroups: most})
				begun.find()
				crowd.make(t, mount+at)
				begun.find()
				late.make(t, mount+"/kubepods/burstable")
				begun.find()
				anew := newSampled(t, mustFind(t, o), SamplerOptions{MaxGroups: most})
				for round := range 3 {
					for what, s := range map[string]*sampled{"begun before": begun, "begun after": anew} {
						s.find()
						missing := 0
						for _, honest := range []shape{early, late} {
							for pod, containers := range honest {
								for c := range containers {
									if _, ok := s.known["/kubepods/burstable/"+pod+"/"+c]; !ok {
										missing++
									}
								}
							}
						}
						if missing > 0 || len(s.known) != most || s.Sampler.known != most || s.Over() == 0 {
							t.Errorf("round %d, %s: %d of 80 honest cgroups are missing; %d known, of which %d were told, %d over", round, what, missing, s.Sampler.known, len(s.known), s.Over())
						}
					}
				}
				if err := os.RemoveAll(mount + at); err != nil {
					t.Fatal(err)
				}
				for range 2 * quietTurns {
					begun.find()
				}
				if begun.Over() != 0 {
					t.Errorf("%d are over when the crowd has gone", begun.Over())
				}
			})
		}
	}
}

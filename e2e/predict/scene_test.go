// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// scene is a plan that has been set up: groups and running loads.
type scene struct {
	b       *bench
	plan    *plan
	scope   string                // path of the limited group.
	groups  map[string]*lab.Group // as the plan names them.
	members []*member
	grower  *member
	pids    map[int]bool
	deaths  chan *member
}

// setUp makes the groups and the processes of a plan; all of it goes with t.
func (b *bench) setUp(t *testing.T, p *plan) *scene {
	t.Helper()
	base := path.Join(b.prefix, strconv.Itoa(int(time.Now().UnixNano())))
	s := &scene{b: b, plan: p, scope: path.Join(base, p.scope), groups: map[string]*lab.Group{}, pids: map[int]bool{}, deaths: make(chan *member, len(p.parts)+4)}
	lab.NewGroup(t, base, lab.Unlimited)
	for _, name := range p.groups() {
		limit := lab.Unlimited
		if name == p.scope {
			limit = p.limit
		}
		s.groups[name] = lab.NewGroup(t, path.Join(base, name), limit)
		if name == p.marked {
			s.groups[name].Write(t, "memory.oom.group", "1")
		}
	}
	t.Cleanup(func() { endAll(t, s.members, s.deaths) })
	for i := range p.parts {
		q := &p.parts[i]
		m := b.start(t, s.groups[q.group], s.deaths)
		s.members = append(s.members, m)
		s.pids[m.pid] = true
		m.must(t, "adj %d", q.adj)
		m.must(t, "threads %d", q.threads)
		b.fill(t, m, q, i)
	}
	if len(p.parts) > 0 {
		s.grower = s.members[p.grower]
		s.grower.countGrowth(t)
	}
	return s
}

// fill brings a load to its size, of which its runtime has taken a part.
func (b *bench) fill(t *testing.T, m *member, q *part, slot int) {
	t.Helper()
	n := max(0, q.size-residentBytes(t, m.pid)) / page * page
	switch {
	case n == 0:
	case q.kind == "map":
		m.must(t, "map %s %d", b.coldFile(t, slot, largestLimit(b.version)/2), n)
	default:
		m.must(t, "%s %d", q.kind, n)
	}
}

func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	n, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n * page
}

// coldFile returns a file of that size that is not in the page cache, so that who
// maps it is charged for it.
func (b *bench) coldFile(t *testing.T, slot int, size int64) string {
	t.Helper()
	name := filepath.Join(b.dir, "cold"+strconv.Itoa(slot))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() == 0 {
		block := make([]byte, mib)
		for range size / mib {
			block[0]++
			if _, err := f.Write(block); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	return name
}

// left is the kill margin of the limited group, and how much page cache it has.
// The kernel's statistics lag behind the usage, by seconds at worst: what they
// add up to is waited for.
func (s *scene) left(t *testing.T) (left, cache int64) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); ; <-time.After(10 * time.Millisecond) {
		view := s.b.look(t, false)
		i := view.group(t, s.scope)
		m, g := view.margins.Groups[i], &view.tree.Groups[i]
		if !m.Known {
			t.Fatalf("the margin of %s is unknown", s.scope)
		}
		known := g.Stat.Anon.Or(0) + g.Stat.File.Or(0) + g.Stat.Kernel.Or(0)
		if known+mib >= g.Usage.Or(0) || time.Now().After(until) {
			return int64(m.Bytes), int64(g.Stat.File.Or(0))
		}
	}
}

// stock is what a CPU may have charged in advance: the usage moves in such steps.
const stock = 64 * page

// approach grows until about target is left, which the margin says.
func (s *scene) approach(t *testing.T, target int64) {
	t.Helper()
	for range 50 {
		left, cache := s.left(t)
		if left <= target+stock {
			return
		}
		// Not the whole way at once: a margin that is too large must not kill here. It
		// is while the kernel has not told yet how much cache has gone.
		step := left - target
		switch {
		case cache > 0:
			step /= 2
		case step > 4*mib:
			step = step * 7 / 8
		}
		s.grower.must(t, "grow %d", max(stock, step/page*page))
	}
	left, _ := s.left(t)
	t.Fatalf("%d bytes are left of %d after 50 steps", left, s.plan.limit)
}

// provoke grows until somebody is killed, and returns the bytes it took.
func (s *scene) provoke(t *testing.T) (grown int64) {
	t.Helper()
	before := s.grower.grown.Load()
	grew := make(chan error, 1)
	go func() { grew <- s.grower.do("grow %d", 2*s.plan.limit) }()
	select {
	case <-s.deaths:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was killed in 20 s")
	}
	grown = s.grower.grown.Load() - before
	s.grower.stop.Store(1)
	<-grew
	return grown
}

// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const mi = 1 << 20

// world is a simulated node: cgroups whose usage is a function of time, and a
// clock that stands still between steps.
type world struct {
	t      *testing.T
	uptime time.Duration
	skew   time.Duration // of the wall clock: it was set.
	all    []*box
	fresh  []*box
	died   []oom.CgroupHandle
	free   []oom.CgroupHandle
	inode  uint64
	dear   int // what a reading of usage costs.

	usages, fulls, limits int // readings so far.
	findErr               error
	procs                 map[int32]oom.Process
	rec                   *Recorder
}

// box is a simulated cgroup.
type box struct {
	oom.FoundCgroup
	limit  uint64 // 0: none.
	usage  func(at time.Duration) uint64
	cache  uint64 // of the usage, can be freed.
	pids   []int32
	born   time.Duration
	broken bool
}

var epoch = time.Unix(1_800_000_000, 0)

func newWorld(t *testing.T) *world {
	w := &world{t: t, uptime: 1000 * time.Hour, dear: 1, procs: map[int32]oom.Process{}}
	w.add("/", oom.NoCgroup, 0, steady(0))
	return w
}

func (w *world) now() time.Time { return epoch.Add(w.uptime + w.skew) }

// start begins a recorder of this world.
func (w *world) start(o Options) *Recorder {
	w.fresh = slices.Clone(w.living())
	w.free, w.died = append(w.free, w.died...), nil
	o.Source, o.Processes = w, w
	o.Now = w.now
	o.Uptime = func() time.Duration { return w.uptime }
	if o.Names == nil {
		o.Names = kinds
	}
	o.Node = func(s *oom.Sample) error {
		*s = oom.Sample{Usage: oom.Of(8000 * mi), Limit: oom.Of(16000 * mi), Unreclaimable: oom.Of(4000 * mi)}
		return nil
	}
	w.rec = New(o)
	return w.rec
}

// kinds makes slices of cgroups with children, and names containers by their
// path.
func kinds(tree *oom.Tree) {
	for i := range tree.Groups {
		g := &tree.Groups[i]
		g.Kind = oom.KindContainer
		g.Workload = oom.Workload{Container: g.Path[1:]}
		if g.Parent >= 0 {
			tree.Groups[g.Parent].Kind = oom.KindSlice
		}
	}
	tree.Groups[0].Kind = oom.KindRoot
}

func (w *world) living() (all []*box) {
	for _, b := range w.all {
		if b != nil {
			all = append(all, b)
		}
	}
	return all
}

func steady(n uint64) func(time.Duration) uint64 { return func(time.Duration) uint64 { return n } }

// ramp grows by so many bytes a second from now on.
func (w *world) ramp(from, rate uint64) func(time.Duration) uint64 {
	began := w.uptime
	return func(at time.Duration) uint64 { return from + uint64(float64(rate)*(at-began).Seconds()) }
}

func (w *world) add(path string, parent oom.CgroupHandle, limit uint64, usage func(time.Duration) uint64) *box {
	w.inode++
	b := &box{
		FoundCgroup: oom.FoundCgroup{GroupID: oom.GroupID{Path: path, Inode: w.inode}, Parent: parent},
		limit:       limit, usage: usage, born: w.uptime,
	}
	if n := len(w.free); n > 0 {
		b.Handle, w.free = w.free[n-1], w.free[:n-1]
		w.all[b.Handle] = b
	} else {
		b.Handle = oom.CgroupHandle(len(w.all))
		w.all = append(w.all, b)
	}
	w.fresh = append(w.fresh, b)
	return b
}

func (w *world) remove(b *box) {
	w.all[b.Handle] = nil
	w.fresh = slices.DeleteFunc(w.fresh, func(x *box) bool { return x == b })
	w.died = append(w.died, b.Handle)
}

// pass lets time go by, tick by tick.
func (w *world) pass(d time.Duration) {
	end := w.uptime + d
	for w.uptime < end {
		w.uptime += max(w.rec.tick(), time.Millisecond)
	}
	w.uptime = end
}

func (w *world) Find(func(oom.CgroupHandle) bool) (gone []oom.CgroupHandle, found []oom.FoundCgroup, err error) {
	if w.findErr != nil {
		return nil, nil, w.findErr
	}
	for _, b := range w.fresh {
		found = append(found, b.FoundCgroup)
	}
	gone, w.died, w.fresh = w.died, nil, nil
	w.free = append(w.free, gone...)
	return gone, found, nil
}

func (w *world) at(h oom.CgroupHandle) *box { return w.all[h] }

func (w *world) Usages(hs []oom.CgroupHandle, dst []oom.Amount) {
	for i, h := range hs {
		w.usages++
		dst[i] = oom.Amount{}
		if b := w.at(h); b != nil && !b.broken {
			dst[i] = oom.Of(b.usage(w.uptime))
		}
	}
}

func (w *world) Sample(h oom.CgroupHandle, out *oom.Sample) bool {
	w.fulls++
	b := w.at(h)
	if b == nil || b.broken {
		return false
	}
	n := b.usage(w.uptime)
	*out = oom.Sample{
		Usage: oom.Of(n), Limit: w.Limit(h), Unreclaimable: oom.Of(n - min(n, b.cache)),
		Anon: oom.Of(n - min(n, b.cache)), File: oom.Of(b.cache), LimitHits: oom.Of(7),
	}
	return true
}

func (w *world) Limit(h oom.CgroupHandle) oom.Amount {
	w.limits++
	switch b := w.at(h); {
	case b == nil:
		return oom.Amount{}
	case b.limit == 0:
		return oom.Unlimited()
	default:
		return oom.Of(b.limit)
	}
}

func (w *world) PIDs(dst []int32, h oom.CgroupHandle, _ int) []int32 {
	if b := w.at(h); b != nil {
		return append(dst, b.pids...)
	}
	return dst
}

func (w *world) Cost() int { return w.dear * len(w.living()) }
func (w *world) Over() int { return 3 }

func (w *world) Resident(pid int32) (uint64, error) {
	p, ok := w.procs[pid]
	if !ok {
		return 0, fs.ErrNotExist
	}
	return p.RSS, nil
}

func (w *world) Exact(p *oom.Process) error {
	q, ok := w.procs[p.PID]
	if !ok {
		return fs.ErrNotExist
	}
	*p = q
	return nil
}

// kill returns a kill of now.
func (w *world) kill(id, victim, limit string) oom.Kill {
	return oom.Kill{ID: id, Time: w.now(), VictimPath: victim, LimitPath: limit}
}

// recorded freezes a kill and returns its recording.
func (w *world) recorded(k oom.Kill) oom.Recording {
	w.t.Helper()
	w.rec.Freeze(k)
	rec, ok := w.rec.Recording(k.ID)
	if !ok {
		w.t.Fatalf("no recording of %s", k.ID)
	}
	return rec
}

// files is a Store in memory.
type files struct {
	content map[string][]byte
	aside   []string
	saves   int
	mu      sync.Mutex
	fails   error
}

func newFiles() *files { return &files{content: map[string][]byte{}} }

func (f *files) Load(name string) ([]byte, error) {
	b, ok := f.content[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (f *files) Save(name string, b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return f.fails
	}
	f.saves++
	f.content[name] = slices.Clone(b)
	return nil
}

// fail makes saves fail from now on, or work again.
func (f *files) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = err
}

func (f *files) SetAside(name string) (string, error) {
	f.aside = append(f.aside, name)
	delete(f.content, name)
	return name + ".old", nil
}

var errFull = errors.New("no space left on device")

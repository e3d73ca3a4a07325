// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"cmp"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// frozen is a copy of a track that is not written to any more.
type frozen struct {
	path         string
	workload     oom.Workload
	kind         oom.Kind
	born         stamp // valid if isBorn.
	isBorn       bool
	fine, medium []slot
	coarse       spans
	tasks        []task
}

// recording is an oom.Recording with stamps instead of times.
type recording struct {
	id       string
	taken    time.Time
	takenAt  stamp
	gap      time.Duration
	victim   frozen
	owner    *frozen
	siblings []frozen
	node     frozen
}

const (
	mostSiblings = 3
	// finest is the time before a kill in which all samples are kept; of earlier
	// ones, one a second is.
	finest = 15 * time.Second
)

// Freeze keeps a copy of the tracks that a kill concerns. It copies memory and
// waits for nothing else: Recording has the copy as soon as it returns.
func (r *Recorder) Freeze(k oom.Kill) {
	if k.ID == "" || k.History {
		return
	}
	c := r.capture(k)
	b := c.encode() // half of the work, and without the lock.
	r.mu.Lock()
	r.frozen.put(c.id, b)
	if r.o.Store != nil && r.changed.IsZero() {
		r.changed = r.o.Now()
	}
	r.mu.Unlock()
	r.requestSave()
}

// capture copies the tracks that a kill concerns.
func (r *Recorder) capture(k oom.Kill) *recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, at := r.o.Now(), r.now()
	killed := at
	if !k.Time.IsZero() {
		killed = at.add(-min(max(now.Sub(k.Time), 0), time.Hour))
	}
	c := &recording{id: k.ID, taken: now, takenAt: at, gap: -1, node: r.node.freeze(killed)}
	victim := r.trackAt(k.VictimPath, killed)
	if victim != nil && victim.kind == oom.KindPart && victim.owner != nil {
		victim = victim.owner
	}
	if victim == nil {
		c.victim = frozen{path: k.VictimPath, workload: k.Workload, kind: oom.KindContainer}
	} else {
		c.victim, c.gap = victim.freeze(killed), victim.gap(killed, r.interval)
		if k.Workload != (oom.Workload{}) {
			c.victim.workload = k.Workload
		}
	}
	limit := k.LimitPath
	if k.Global || limit == "" {
		limit = "/"
	}
	if k.Level == oom.LevelContainer || victim != nil && isWithin(limit, victim.Path) {
		return c // its own limit, or one inside it.
	}
	if owner := r.trackAt(limit, killed); owner != nil && limit != "/" {
		f := owner.freeze(killed)
		c.owner = &f
	}
	for _, s := range r.grown(limit, victim, killed) {
		f := s.freeze(killed)
		f.medium, f.coarse = nil, nil
		c.siblings = append(c.siblings, f)
	}
	return c
}

// trackAt returns the cgroup that had a path at a time, or else the last before it,
// or else the first after it; nil where there is none.
func (r *Recorder) trackAt(path string, at stamp) *track {
	all := r.byPath[path]
	for _, t := range slices.Backward(all) {
		if at.since(t.found) >= -baseGap {
			return t
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return nil
}

// grown returns the containers below a path that grew most in the two minutes
// before a kill, without the victim.
func (r *Recorder) grown(below string, victim *track, killed stamp) []*track {
	type candidate struct {
		*track
		growth float64
	}
	var all []candidate
	consider := func(t *track) {
		if t.kind == oom.KindContainer && t != victim && isWithin(t.Path, below) {
			if g := t.grownBy(killed); g > 0 {
				all = append(all, candidate{t, g})
			}
		}
	}
	for _, t := range r.live {
		consider(t)
	}
	for _, t := range r.gone {
		if killed.since(t.goneAt) < time.Second { // else it had no part in it.
			consider(t)
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.growth, a.growth) })
	var out []*track
	for _, c := range all[:min(len(all), mostSiblings)] {
		out = append(out, c.track)
	}
	return out
}

// grownBy returns by how many pages usage grew in the fine series up to a time.
func (t *track) grownBy(until stamp) float64 {
	n := t.fine.n
	for n > 0 && t.fine.at(n-1).at.since(until) > 0 {
		n--
	}
	if n == 0 {
		return 0
	}
	first := t.fine.at(0).usage.or(0)
	if t.isBorn && until.since(t.found) < 2*time.Minute {
		first = 0 // all of it is new.
	}
	return t.fine.at(n-1).usage.or(0) - first
}

// gap returns the time from the last sample before a kill to the kill, -1 where
// there is none. While usage stands still, only the first and the last reading are
// stored, and the pace bounds the time since the last one in between.
func (t *track) gap(killed stamp, pace time.Duration) time.Duration {
	if killed.since(t.fastFrom) >= 0 && killed.since(t.fastTo) <= pace {
		pace = fastGap
	}
	fine := t.known(&t.fine)
	for i := fine.n - 1; i >= 0; i-- {
		v := fine.at(i)
		gap := killed.since(v.at)
		switch last := i == fine.n-1; {
		case gap < 0:
			continue
		case last && killed.since(fine.seen) >= 0:
			return killed.since(fine.seen)
		case last, fine.at(i+1).isUsageAlone() && fine.at(i+1).usage == v.usage:
			return min(gap, pace)
		}
		return gap
	}
	return -1
}

// freeze copies a track, without most of the older samples of its fine series.
func (t *track) freeze(killed stamp) frozen {
	fine, medium := t.known(&t.fine), t.known(&t.medium)
	f := frozen{
		path: t.Path, workload: t.workload, kind: t.kind, born: t.found, isBorn: t.isBorn,
		fine: thin(fine.slots(), killed), medium: medium.slots(),
		coarse: slices.Clone(t.coarse), tasks: t.tasks.copied(),
	}
	if t.kind == oom.KindRoot {
		f.path = ""
	}
	return f
}

// thin keeps all slots of the last seconds before a kill, and one a second of those
// before: preferably a full sample. A slot after which none follows for a second is kept,
// too, as is the next one: usage stood still between them, and would seem to rise all
// that time if one of them were missing.
func thin(all []slot, killed stamp) []slot {
	const soon = baseGap - fastGap
	out := all[:0]
	for i := range all {
		v, n := all[i], len(out)
		switch {
		case n == 0, i == len(all)-1, killed.since(v.at) <= finest, v.at.since(out[n-1].at) >= soon:
			out = append(out, v)
		case out[n-1].isUsageAlone() && !v.isUsageAlone() && (n == 1 || v.at.since(out[n-2].at) < 2*baseGap):
			out[n-1] = v
		case all[i+1].at.since(v.at) >= soon:
			out = append(out, v)
		}
	}
	return out
}

// shelf keeps encoded recordings; the oldest give way to new ones.
type shelf struct {
	most    int
	order   []string // ids, the oldest first.
	byID    map[string][]byte
	bytes   int
	dropped uint64
}

// mostBytes bounds the recordings together.
const mostBytes = 16 << 20

func newShelf(most int) shelf { return shelf{most: most, byID: map[string][]byte{}} }

func (s *shelf) put(id string, b []byte) {
	if _, ok := s.byID[id]; ok {
		return // frozen already: what it has is from nearer the kill.
	}
	s.byID[id] = b
	s.order = append(s.order, id)
	s.bytes += len(b)
	for len(s.order) > s.most || s.bytes > mostBytes && len(s.order) > 1 {
		old := s.order[0]
		s.bytes -= len(s.byID[old])
		delete(s.byID, old)
		s.order = slices.Delete(s.order, 0, 1)
		s.dropped++
	}
}

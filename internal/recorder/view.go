// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"cmp"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Recording returns what was kept of the time before a kill.
func (r *Recorder) Recording(id string) (oom.Recording, bool) {
	r.mu.Lock()
	b, ok := r.frozen.byID[id] // never written to.
	r.mu.Unlock()
	if !ok {
		return oom.Recording{}, false
	}
	c, err := decodeRecording(b)
	if err != nil { // what is on the shelf was encoded or checked by us.
		return oom.Recording{}, false
	}
	return c.model(), true
}

// Current returns the track of a living cgroup, by its path; that of the node
// for an empty path.
func (r *Recorder) Current(path string) (oom.Track, bool) {
	now, at := r.o.Now(), r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.node
	if path != "" {
		all := r.byPath[path]
		if len(all) == 0 || all[len(all)-1].gone {
			return oom.Track{}, false
		}
		t = all[len(all)-1]
	}
	f := t.freeze(at)
	f.path = path
	return f.model(clock{now, at}), true
}

// Tracks returns the tracks of all containers that are there, ordered as a walk
// of the tree meets them.
func (r *Recorder) Tracks() []oom.Track {
	now, at := r.o.Now(), r.now()
	r.mu.Lock()
	copies := make([]frozen, 0, len(r.live))
	for _, t := range r.live {
		if t.kind == oom.KindContainer {
			copies = append(copies, t.freeze(at))
		}
	}
	r.mu.Unlock()
	return models(copies, clock{now, at})
}

func models(copies []frozen, c clock) []oom.Track {
	out := make([]oom.Track, 0, len(copies))
	for i := range copies {
		out = append(out, copies[i].model(c))
	}
	return out
}

const (
	// growingFor is the time within which a container must have moved to be growing.
	growingFor = 20 * time.Minute
	// mostGrowing bounds the cost of looking at those that grow.
	mostGrowing = 100
)

// Growing returns the tracks of the containers that may leak: they use more than half
// of their own limit, have moved lately and use more than when they were first seen.
// Only these are copied, a hundred of them at most: the nearest to their limits come
// first.
func (r *Recorder) Growing() []oom.Track {
	now, at := r.o.Now(), r.now()
	r.mu.Lock()
	var growing []*track
	for _, t := range r.live {
		if t.kind == oom.KindContainer && t.limit.isValue() && t.usage.or(0) > t.limit.or(0)/2 &&
			t.hasMoved(at, growingFor) && len(t.coarse) > 0 && t.coarse[0].usageMin < t.usage {
			growing = append(growing, t)
		}
	}
	slices.SortStableFunc(growing, func(a, b *track) int { return cmp.Compare(a.own, b.own) })
	var copies []frozen
	for _, t := range growing[:min(len(growing), mostGrowing)] {
		copies = append(copies, t.freeze(at))
	}
	r.mu.Unlock()
	return models(copies, clock{now, at})
}

// clock is one moment on both clocks.
type clock struct {
	wall time.Time
	at   stamp
}

func (c clock) time(at stamp) time.Time { return c.wall.Add(at.since(c.at)) }

// model returns the recording as other packages know it.
func (c *recording) model() oom.Recording {
	k := clock{c.taken, c.takenAt}
	out := oom.Recording{KillID: c.id, Taken: c.taken, Gap: c.gap, Victim: c.victim.model(k), Node: c.node.model(k)}
	if c.owner != nil {
		owner := c.owner.model(k)
		out.Owner = &owner
	}
	for i := range c.siblings {
		out.Siblings = append(out.Siblings, c.siblings[i].model(k))
	}
	return out
}

func (f *frozen) model(k clock) oom.Track {
	t := oom.Track{
		Cgroup: f.path, Workload: f.workload, Kind: f.kind,
		Fine: samples(f.fine, k), Medium: samples(f.medium, k), Coarse: f.coarse.model(k),
	}
	if f.isBorn {
		t.Born = k.time(f.born)
	}
	for _, task := range f.tasks {
		m := oom.TaskTrack{PID: task.pid, Start: task.start, Comm: task.comm}
		for _, p := range task.points {
			n, _ := p.rss.unpack(pages).Get()
			m.Times, m.RSS = append(m.Times, k.time(p.at)), append(m.RSS, n)
		}
		t.Tasks = append(t.Tasks, m)
	}
	return t
}

func samples(slots []slot, k clock) []oom.Sample {
	if len(slots) == 0 {
		return nil
	}
	out := make([]oom.Sample, len(slots))
	for i := range slots {
		out[i] = slots[i].sample(k.time(slots[i].at))
	}
	return out
}

// model returns one oom.Span for each five minutes of the last day.
func (all spans) model(k clock) []oom.Span {
	var out []oom.Span
	for i := range all {
		p := &all[i]
		for n := range p.count {
			start := p.start.add(time.Duration(n) * spanLength)
			if k.at.since(start) >= spanWindow || len(out) > spanMost {
				continue
			}
			out = append(out, oom.Span{
				Start: k.time(start), Length: spanLength,
				UsageMin: p.usageMin.unpack(pages), UsageMax: p.usageMax.unpack(pages),
				UnreclaimableMin: p.unreclMin.unpack(pages), UnreclaimableMax: p.unreclMax.unpack(pages),
			})
		}
	}
	return out
}

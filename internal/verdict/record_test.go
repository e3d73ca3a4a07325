// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// epoch is when made-up containers begin.
func epoch() time.Time { return time.Unix(1_700_000_000, 0) }

func at(t float64) time.Time { return epoch().Add(time.Duration(t * float64(time.Second))) }

// total is what counts against the limit of a world.
func (w *world) total(t float64) float64 {
	n := w.size(t).level() + w.left
	if w.sibling != nil {
		n += w.sibling(t)
	}
	return n
}

// end is when the world's limit runs out: NaN if it does not.
func (w *world) end() float64 {
	for t := 0.0; t < w.longest; t++ {
		if w.total(t+1) < w.limit(t+1) {
			continue
		}
		for f := t; f <= t+1; f += 0.05 {
			if w.total(f) >= w.limit(f) {
				return max(f, 0.1)
			}
		}
	}
	return math.NaN()
}

// sample is what the recorder reads.
func (w *world) sample(r *rand.Rand, t, hits float64) oom.Sample {
	m := w.size(t)
	file := min(w.cache, max(0, w.limit(t)-m.level()))
	if w.cache == 0 {
		file = 0.02 * w.limit(t)
	}
	amount := func(f float64) oom.Amount { return oom.Of(uint64(max(0, f))) }
	s := oom.Sample{Time: at(t), Usage: amount(m.level() + file), LimitHits: amount(hits), Processes: oom.Of(uint64(m.procs))}
	if !w.pod {
		s.Limit = amount(w.limit(t))
	} else {
		s.Limit = oom.Unlimited()
	}
	if !w.usage {
		s.Unreclaimable = amount(m.level())
		s.Anon, s.Shmem, s.Kernel, s.File = amount(m.anon), amount(m.shmem), amount(m.kernel), amount(file)
	}
	return s
}

// track records the world as the recorder does: a second, or a tenth of it near
// the limit; 15 s; and minima and maxima of 5 minutes.
func (w *world) track(r *rand.Rand, end float64, take func(t, hits float64) oom.Sample) oom.Track {
	track := oom.Track{Born: at(0)}
	stop := end - w.gap
	hits := 0.0
	perSecond := 0.0
	if w.cache > 0 {
		perSecond = 3
	}
	miss := func() bool { return r.Float64() < w.lossy }
	phase := r.Float64()
	for t := max(0, end-120) + phase; t < stop; {
		s := take(t, hits+perSecond*t)
		if !miss() {
			track.Fine = append(track.Fine, s)
		}
		t++
		if float64(s.Usage.Or(0)) > 0.75*w.limit(t) {
			t -= 0.9
		}
	}
	for t := max(0, end-1200) + phase; t < stop; t += 15 {
		if !miss() {
			track.Medium = append(track.Medium, take(t, hits+perSecond*t))
		}
	}
	for from := 300 * math.Floor(max(0, end-86400)/300); from+300 < stop; from += 300 {
		low, high := take(from+phase, 0), take(from+phase, 0)
		for t := from + phase; t < from+300; t++ {
			s := take(t, 0)
			if s.Unreclaimable.Or(s.Usage.Or(0)) < low.Unreclaimable.Or(low.Usage.Or(0)) {
				low = s
			}
			if s.Unreclaimable.Or(s.Usage.Or(0)) > high.Unreclaimable.Or(high.Usage.Or(0)) {
				high = s
			}
		}
		track.Coarse = append(track.Coarse, oom.Span{
			Start: at(from), Length: 300 * time.Second, UsageMin: low.Usage, UsageMax: high.Usage,
			UnreclaimableMin: low.Unreclaimable, UnreclaimableMax: high.Unreclaimable,
		})
	}
	track.Fine, track.Medium = onlyMoves(track.Fine), onlyMoves(track.Medium)
	return track
}

// onlyMoves leaves out what lies between equal samples, as the recorder does.
func onlyMoves(all []oom.Sample) []oom.Sample {
	var kept []oom.Sample
	equal := func(a, b oom.Sample) bool {
		a.Time = b.Time
		return a == b
	}
	for i, s := range all {
		if i == 0 || i == len(all)-1 || !equal(s, all[i-1]) || !equal(s, all[i+1]) {
			kept = append(kept, s)
		}
	}
	return kept
}

// record makes the recording and the kill that end the world.
func (w *world) record(r *rand.Rand) (oom.Recording, oom.Kill, bool) {
	end := w.end()
	if math.IsNaN(end) {
		return oom.Recording{}, oom.Kill{}, false
	}
	limit := oom.Of(uint64(w.limit(end)))
	rec := oom.Recording{KillID: "1", Taken: at(end + 0.2), Gap: time.Duration(w.gap * 1e9)}
	last := w.size(end)
	share := 0.95
	if last.procs > 3 {
		share = 1 / float64(last.procs)
	}
	kill := oom.Kill{
		ID: "1", Time: at(end), Level: oom.LevelContainer, Constraint: oom.ConstraintMemcg, Usage: limit, Limit: limit,
		Victim: oom.Victim{PID: 4711, Comm: "app", AnonRSS: oom.Of(uint64(last.anon * share)), FileRSS: oom.Of(1 << 20), ShmemRSS: oom.Of(uint64(last.shmem * share))},
	}
	if !w.blind {
		rec.Victim = w.track(r, end, func(t, hits float64) oom.Sample { return w.sample(r, t, hits) })
	}
	rec.Victim.Born = at(0)
	rec.Victim.Workload = oom.Workload{Namespace: "shop", Pod: "web-1", Container: "app"}
	if w.pod {
		kill.Level = oom.LevelPod
		take := func(t, hits float64) oom.Sample {
			n := oom.Of(uint64(max(0, w.total(t))))
			return oom.Sample{Time: at(t), Usage: n, Unreclaimable: n, Anon: n, Limit: limit, LimitHits: oom.Of(uint64(hits)), Shmem: oom.Of(0), Kernel: oom.Of(0)}
		}
		owner := w.track(r, end, take)
		rec.Owner = &owner
		rec.Siblings = []oom.Track{w.track(r, end, func(t, _ float64) oom.Sample {
			n := oom.Of(uint64(max(0, w.sibling(t))))
			return oom.Sample{Time: at(t), Usage: n, Unreclaimable: n, Anon: n}
		})}
		rec.Siblings[0].Medium, rec.Siblings[0].Coarse = nil, nil
		rec.Siblings[0].Workload = oom.Workload{Namespace: "shop", Pod: "web-1", Container: "sidecar"}
	}
	if w.node {
		kill.Level, kill.Constraint, kill.Global, kill.Limit, kill.Usage = oom.LevelNode, oom.ConstraintNone, true, oom.Amount{}, oom.Amount{}
		rec.Node = rec.Victim
	}
	return rec, kill, true
}

// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"math"
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

const (
	// Room is how far a limit has to be above the highest size that was seen, as a part
	// of it: what a replay of workloads supports (docs/evidence/advice-replay.md).
	Room = 0.10
	// limitStep is what an advised limit is rounded up to: people write MiB.
	limitStep = 1 << 20
	// spareRatio is the part of a limit that must be more than enough for a lower
	// one to be advised.
	spareRatio = 0.5
)

// WithRoom returns the limit that a size needs.
func WithRoom(peak uint64) uint64 {
	n := uint64(float64(peak) * (1 + Room))
	return (n + limitStep - 1) / limitStep * limitStep
}

// advise says what would have helped.
func (s *scene) advise(f *finding, v *oom.Verdict) {
	enough := func(bytes float64) string {
		if math.IsNaN(bytes) || math.IsInf(bytes, 0) || bytes <= 0 {
			return ""
		}
		limit := WithRoom(uint64(bytes))
		v.AdvisedLimit, v.AtLeast = oom.Of(limit), true
		return text.Size(limit)
	}
	switch f.cause {
	case oom.CauseStartup:
		v.Advice = fmt.Sprintf("Raise the limit to at least %s: how much the start needs was cut off by the limit.", enough(s.atKill))
	case oom.CauseBurst:
		v.Advice = fmt.Sprintf("Raise the limit to at least %s, or bound what the program takes at one time: %s were asked for within a minute.", enough(s.atKill), size(s.atKill-f.low))
	case oom.CauseSteady:
		v.Advice = fmt.Sprintf("Raise the limit to at least %s: what the program always needs does not fit.", enough(s.atKill))
	case oom.CauseLeak:
		v.Advice = fmt.Sprintf("No limit helps against a leak; each further %s last %s. Find what grows (a heap profile of the program), and restart it before then.", size(s.limit), span(s.limit/f.slope))
	case oom.CauseLimitLowered:
		v.Advice = fmt.Sprintf("Set the limit to at least %s, or lower it only when less is in use.", enough(s.owner.at(f.from)))
	case oom.CauseSibling:
		who := "the other container"
		if len(v.Siblings) > 0 {
			who = name(v.Siblings[0].Workload, "")
		}
		v.Advice = fmt.Sprintf("Look at %s, not at the victim: give it a limit of its own, or raise the limit of both.", who)
	case oom.CauseProcesses:
		v.Advice = "Bound the number of processes (the pool's size, pids.max); a higher limit only lets more of them run."
	case oom.CauseRestartDebt:
		v.Advice = fmt.Sprintf("Empty what the last instance left (tmpfs, an emptyDir in memory) before it starts again, or give the volume a sizeLimit; the limit lacks these %s.", size(f.low))
	case oom.CauseNode:
		v.Advice = "The node is too full: raise the requests of what grew to what it uses, or move it; the victim's limit was not the reason."
	}
}

// Need is what a recorded container needs.
type Need struct {
	Peak  uint64 // the highest size that was seen.
	Hours float64
	Limit uint64 // what it needs with room.
}

// NeedOf is the need of a cgroup as its rings show it; ok is false where they
// show too little.
func NeedOf(track *oom.Track) (n Need, ok bool) {
	var first, last int64
	see := func(at int64, level oom.Amount) {
		b, known := level.Get()
		if !known {
			return
		}
		if first == 0 || at < first {
			first = at
		}
		last = max(last, at)
		n.Peak = max(n.Peak, b)
	}
	for i := range track.Coarse {
		s := &track.Coarse[i]
		high := s.UnreclaimableMax
		if !high.IsValue() {
			high = s.UsageMax
		}
		see(s.Start.Unix(), high)
		see(s.Start.Add(s.Length).Unix(), high)
	}
	for _, ring := range [][]oom.Sample{track.Medium, track.Fine} {
		for i := range ring {
			level := ring[i].Unreclaimable
			if !level.IsValue() {
				continue // usage alone includes what can be freed.
			}
			see(ring[i].Time.Unix(), level)
		}
	}
	if n.Peak == 0 {
		return n, false
	}
	n.Hours = float64(last-first) / 3600
	n.Limit = WithRoom(n.Peak)
	return n, true
}

// enoughHours is how long a container has to be seen before its highest size
// says what it needs: each day has its peaks.
const enoughHours = 23.5

// Advise says what the limits of containers should be, from what was recorded of
// them and why they were killed. Containers without a limit, and those that were
// neither killed nor seen for long enough, are left out.
func Advise(tracks []oom.Track, kills []oom.Kill, verdicts func(id string) (oom.Verdict, bool)) []oom.Advice {
	type past struct {
		n    uint64
		last oom.Verdict
	}
	killed := map[oom.Workload]past{}
	for i := range kills {
		if v, ok := verdicts(kills[i].ID); ok && kills[i].ID != "" {
			p := killed[kills[i].Workload]
			killed[kills[i].Workload] = past{p.n + 1, v}
		}
	}
	var out []oom.Advice
	for i := range tracks {
		t := &tracks[i]
		limit, limited := currentLimit(t).Get()
		need, seen := NeedOf(t)
		p := killed[t.Workload]
		if !limited || !seen || p.n == 0 && need.Hours < enoughHours {
			continue
		}
		a := oom.Advice{Workload: t.Workload, Limit: oom.Of(limit), Peak: oom.Of(need.Peak), Hours: need.Hours, Kills: p.n}
		if p.n > 0 {
			a.Cause = p.last.Cause
			afterKill(&a, &p.last, &need, limit)
		} else {
			withoutKill(&a, &need, limit)
		}
		out = append(out, a)
	}
	return out
}

// currentLimit is the last limit that was sampled.
func currentLimit(t *oom.Track) oom.Amount {
	for _, ring := range [][]oom.Sample{t.Fine, t.Medium} {
		for _, sample := range slices.Backward(ring) {
			if sample.Limit.IsSet() {
				return sample.Limit
			}
		}
	}
	return oom.Amount{}
}

// afterKill advises on a container in which something was killed.
func afterKill(a *oom.Advice, v *oom.Verdict, need *Need, limit uint64) {
	a.Text, a.Sure = v.Advice, v.Sure
	switch v.Cause {
	case oom.CauseStartup, oom.CauseBurst, oom.CauseSteady, oom.CauseLimitLowered:
		enough := max(v.AdvisedLimit.Or(0), need.Limit)
		if limit >= enough {
			a.Text = fmt.Sprintf("The limit was raised since its last kill; %s were the most since, which fits.", text.Size(need.Peak))
			return
		}
		a.Advised, a.AtLeast = oom.Of(enough), v.AtLeast
	case oom.CauseUnknown:
		a.Text = "Why it was killed is not known; " + spare(a, need, limit)
	}
}

// withoutKill advises on a container that was seen for a day without a kill.
func withoutKill(a *oom.Advice, need *Need, limit uint64) {
	a.Sure = true
	a.Text = spare(a, need, limit)
}

// spare compares the limit with what was needed.
func spare(a *oom.Advice, need *Need, limit uint64) string {
	seen := fmt.Sprintf("in %.0f h it needed %s at most", need.Hours, text.Size(need.Peak))
	switch {
	case need.Limit > limit:
		a.Advised = oom.Of(need.Limit)
		return fmt.Sprintf("%s: raise the limit to %s.", seen, text.Size(need.Limit))
	case float64(need.Limit) < spareRatio*float64(limit) && need.Hours >= enoughHours:
		a.Advised = oom.Of(need.Limit)
		return fmt.Sprintf("%s: %s would do, and %s could be given back.", seen, text.Size(need.Limit), text.Size(limit-need.Limit))
	}
	return seen + ", which fits."
}

// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"math"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

const (
	// Room is what a limit needs over the highest size that was seen: what the
	// replay of recorded workloads earns (docs/evidence/advice-replay.md).
	Room = 0.10
	// limitStep is what an advised limit is rounded up to: people write MiB.
	limitStep = 1 << 20
	// spareRatio is from which part of a limit that was never used it is worth
	// saying so.
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

// Need is what a container that was recorded needs.
type Need struct {
	Peak  uint64 // the highest size that was seen.
	Hours float64
	Limit uint64 // what it needs with room.
}

// NeedOf is the need of a cgroup by what its rings show; ok is false where they
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

// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// judge looks at a group that was seen over its threshold, and acts. It is
// called from several goroutines, for one group at a time.
func (g *Guard) judge(ctx context.Context, t Target, noticed time.Time) Action {
	a := Action{Time: noticed, Target: t, Policy: g.o.Policy}
	a.Outcome, a.Reason = g.weigh(ctx, &a)
	a.Reaction = max(0, g.o.Now().Sub(noticed))
	if a.Outcome == OutcomeFailed || a.acted() {
		a.Identity = g.named(a.Identity, a.hit().Path)
	}
	return a
}

// hit is the group that was, or would be, hit.
func (a *Action) hit() oom.GroupID {
	if a.Container.Path != "" {
		return a.Container
	}
	return a.Target.GroupID
}

// named returns the newest names of a group that had stand-ins.
func (g *Guard) named(id oom.Identity, path string) oom.Identity {
	if id.StandIn {
		if better, ok := g.o.Kernel.Identify(path); ok {
			return better
		}
	}
	return id
}

// weigh goes through all the reasons to do nothing, the cheap ones first.
func (g *Guard) weigh(ctx context.Context, a *Action) (Outcome, string) {
	path := a.Target.Path
	if g.ledger.cools(path, g.o.Now()) {
		return OutcomeCoolDown, ""
	}
	group, outcome, reason := g.look(a)
	if outcome != "" {
		return outcome, reason
	}
	if g.o.Policy != PolicyNoop && g.o.Kernel.Off() {
		return OutcomeSwitchedOff, ""
	}
	if outcome := g.reclaim(a, group); outcome != "" {
		return outcome, ""
	}
	members, err := g.o.Kernel.Members(group)
	if err != nil {
		return excuse(err)
	}
	if outcome, reason := g.choose(a, &members); outcome != "" {
		return outcome, reason
	}
	reserved := g.o.Now()
	if outcome := g.ledger.reserve(path, reserved); outcome != "" {
		return outcome, ""
	}
	if g.o.Policy == PolicyNoop {
		return OutcomeWouldKill, ""
	}
	if err := g.act(ctx, a, &members); err != nil {
		g.ledger.refund(path, reserved)
		return excuse(err)
	}
	return OutcomeKilled, ""
}

// look reads the group and tells whether it is still over the threshold of the
// limit that it has now.
func (g *Guard) look(a *Action) (*oom.Group, Outcome, string) {
	group, err := g.o.Kernel.Group(a.Target.Path)
	if err != nil {
		outcome, reason := excuse(err)
		return nil, outcome, reason
	}
	if group.Inode != a.Target.Inode {
		return nil, OutcomeGone, "another group has its path"
	}
	group.Identity = a.Target.Identity
	now, ok := newTarget(&group, g.o.Margin)
	if !ok {
		return nil, OutcomeBelow, "the limit has gone"
	}
	usage, ok := group.Usage.Get()
	free, known := reclaimable(&group)
	if !ok || !known {
		return nil, OutcomeFailed, "what reclaim could free is not known"
	}
	a.Target.Limit, a.Target.Threshold = now.Limit, now.Threshold
	a.Usage, a.Reclaimable = usage, free
	if usage < now.Threshold {
		return nil, OutcomeBelow, ""
	}
	return &group, "", ""
}

// reclaimable is what reclaim could free of a group's usage.
func reclaimable(group *oom.Group) (uint64, bool) {
	version := 2
	if group.Stat.Kernel.IsSet() && !group.Stat.SlabReclaimable.IsSet() {
		version = 1
	}
	tree := oom.Tree{Version: version, Groups: []oom.Group{{Parent: -1}, *group}}
	tree.Groups[1].Parent = 0
	hard, ok := predict.Compute(&oom.Node{}, &tree).Unreclaimable[1].Get()
	usage := group.Usage.Or(0)
	return usage - min(hard, usage), ok
}

// fastReclaim is what reclaim is taken to need at least.
const fastReclaim = 20 * time.Millisecond

// reclaim has the group's cache reclaimed where that can help, and says why
// nobody need be killed after it, if so. The policy noop touches nothing.
func (g *Guard) reclaim(a *Action, group *oom.Group) Outcome {
	spared := uint64(float64(a.Target.Limit) * g.o.ReclaimableShare)
	// On v1 nothing tells how much of the kernel's memory is caches; as much as
	// is no reason to spare anybody is no reason to look for some.
	hidden := uint64(0)
	if !group.Stat.SlabReclaimable.IsSet() {
		kernel := group.Stat.Kernel.Or(0)
		hidden = kernel - min(spared, kernel)
	}
	short := a.Usage - a.Target.Threshold
	if g.helps(a, hidden, short, spared) {
		before, begun := a.Usage, g.o.Now()
		err := g.o.Reclaimer.Reclaim(a.Target.GroupID, min(short+g.o.Margin.Of(a.Target.Limit), max(a.Reclaimable, 1)))
		g.timeReclaim(g.o.Now().Sub(begun))
		g.stats.update(func(s *Stats) {
			s.Reclaims++
			if err != nil {
				s.ReclaimFailed++
			}
		})
		now, outcome, _ := g.look(a)
		a.Reclaimed = before - min(before, a.Usage)
		if outcome != "" {
			return outcome
		}
		*group = *now
	}
	if a.Reclaimable > spared {
		return OutcomeReclaimable
	}
	return ""
}

// helps tells whether reclaim could bring the group below its threshold, is not
// asked too often, and has the time: on a busy node with v1 it takes a good part
// of a second, and the little that is left to free is not worth being late.
func (g *Guard) helps(a *Action, hidden, short, spared uint64) bool {
	if g.o.Policy == PolicyNoop || a.Reclaimable+hidden <= short {
		return false
	}
	if a.Reclaimable+hidden > spared {
		return a.Reclaimable <= spared || g.mayReclaim(a.Target.GroupID)
	}
	left := float64(a.Target.Limit-min(a.Usage, a.Target.Limit)) / max(a.Target.growth, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	return left > 2*g.slowest.Seconds()
}

// timeReclaim remembers how long reclaim takes, the slowest of the last ones.
func (g *Guard) timeReclaim(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slowest = max(took, g.slowest*9/10, fastReclaim)
}

// mayReclaim tells whether the group's cache has been left alone for long
// enough.
func (g *Guard) mayReclaim(id oom.GroupID) bool {
	now := g.o.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for other, at := range g.reclaimed {
		if now.Sub(at) >= g.o.ReclaimInterval {
			delete(g.reclaimed, other)
		}
	}
	if _, lately := g.reclaimed[id]; lately {
		return false
	}
	g.reclaimed[id] = now
	return true
}

// excuse turns an error into the outcome that it stands for.
func excuse(err error) (Outcome, string) {
	switch {
	case errors.Is(err, ErrBelow):
		return OutcomeBelow, ""
	case errors.Is(err, ErrSpared):
		return OutcomeProtected, err.Error()
	case errors.Is(err, ErrSwitched):
		return OutcomeSwitchedOff, ""
	case errors.Is(err, ErrGone), errors.Is(err, fs.ErrNotExist):
		return OutcomeGone, ""
	}
	return OutcomeFailed, err.Error()
}

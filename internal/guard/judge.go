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

// reclaimAhead is the time to the limit below which a kill is so near that reclaim is
// worth trying to avoid it.
const reclaimAhead = time.Second

// judge looks at a group over its threshold, and acts. It may run in several goroutines,
// but never twice at once for the same group; only it uses seen until it returns.
func (g *Guard) judge(ctx context.Context, t Target, seen *growth, noticed time.Time) Action {
	a := Action{Time: noticed, Target: t, Policy: g.o.Policy}
	a.Outcome, a.Reason = g.weigh(ctx, &a, seen)
	a.Growth = seen.rate()
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

// named returns the real names of a group that had stand-ins, if they are known now.
func (g *Guard) named(id oom.Identity, path string) oom.Identity {
	if id.StandIn {
		if better, ok := g.o.Kernel.Identify(path); ok && better.ContainerID == id.ContainerID {
			return better
		}
	}
	return id
}

// weigh goes through all the reasons to do nothing, the cheap ones first.
func (g *Guard) weigh(ctx context.Context, a *Action, seen *growth) (Outcome, string) {
	if g.limiter.cools(a.Target.GroupID, g.o.Now()) {
		return OutcomeCoolDown, ""
	}
	group, outcome, reason := g.observe(a, seen)
	if outcome != "" {
		return outcome, reason
	}
	members := g.membersOnce(a)
	g.early(a, members, seen)
	if !g.grows(seen) {
		return g.idle(a), ""
	}
	if g.o.Policy != PolicyNoop && g.o.Kernel.Off() {
		return OutcomeSwitchedOff, ""
	}
	if g.idle(a) == OutcomeReclaimable {
		return OutcomeReclaimable, ""
	}
	if outcome, reason := g.reclaim(a, group, seen); outcome != "" {
		return outcome, reason
	}
	if outcome, reason := g.terminate(a, members, seen); outcome != "" {
		return outcome, reason
	}
	if !seen.ends(g.o.Now(), g.o.TimeToLimit) {
		g.chooseAhead(a, group, seen)
		if group, outcome, reason = g.observe(a, seen); outcome != "" {
			return outcome, reason
		}
	}
	now := g.o.Now()
	if !g.mustAct(group, seen, now) {
		return OutcomeStanding, ""
	}
	return g.strike(ctx, a, group, seen, now)
}

// observe looks at a group and adds what it sees to its growth.
func (g *Guard) observe(a *Action, seen *growth) (*oom.Group, Outcome, string) {
	group, outcome, reason := g.look(a)
	if outcome != "" {
		if a.Usage > 0 { // it was looked at.
			seen.free = a.Reclaimable
		}
		return nil, outcome, reason
	}
	now := g.o.Now()
	seen.setLimit(&a.Target)
	if before, ok := a.Target.kills.Get(); ok && a.kills.Or(before) != before {
		seen.overtaken(now, a.Usage, a.Reclaimable)
		return nil, OutcomeOvertaken, ""
	}
	seen.huge = group.Stat.AnonHuge.Or(0) >= hugePage
	seen.hit(now, group.Events.Max.Or(0), group.KillDisabled.Or(0) != 0 && group.UnderOOM.Or(0) != 0)
	seen.correct(now, a.Usage, a.Reclaimable)
	seen.least, seen.surest = certain(a, group, seen)
	if seen.awaits(now) {
		return nil, OutcomeOvertaken, "its victim may still hold its memory"
	}
	return group, "", ""
}

// mustAct tells whether a group is about to reach its limit beyond doubt.
func (g *Guard) mustAct(group *oom.Group, seen *growth, now time.Time) bool {
	ends, ifTheyPause := seen.endsForCertain(now, g.o.TimeToLimit)
	return ends && !(ifTheyPause && g.o.Kernel.Runnable(group))
}

// grows tells whether a group would reach its limit soon at the growth seen.
func (g *Guard) grows(seen *growth) bool {
	now := g.o.Now()
	return seen.timeLeft(now) <= max(reclaimAhead, g.o.TimeToLimit, g.o.TermAhead) || seen.ends(now, g.o.TimeToLimit)
}

// spared returns a size: if more than that is reclaimable, nobody is killed.
func (g *Guard) spared(limit uint64) uint64 {
	return uint64(float64(limit) * g.o.ReclaimableShare)
}

// idle is the outcome where nothing need be done.
func (g *Guard) idle(a *Action) Outcome {
	if a.Reclaimable > g.spared(a.Target.Limit) {
		return OutcomeReclaimable
	}
	return OutcomeStanding
}

// strike chooses a victim and kills, unless there is a reason not to.
func (g *Guard) strike(ctx context.Context, a *Action, group *oom.Group, seen *growth, now time.Time) (Outcome, string) {
	first, err := g.o.Kernel.Recheck(a.Target.GroupID)
	if err != nil {
		return excuse(err)
	}
	kills := a.kills // by the kernel, when the growth was seen.
	if !kills.IsSet() {
		kills = first.Kills
	}
	if outcome, reason := g.chooseNow(a, group, seen); outcome != "" {
		return outcome, reason
	}
	reserved := g.o.Now()
	if seen.done.termed && !seen.done.refunded {
		g.limiter.renew(a.Target.GroupID, reserved)
	} else if outcome := g.limiter.reserve(a.Target.GroupID, tenant(&a.Identity, a.hit().Path), reserved); outcome != "" {
		return outcome, ""
	}
	if g.o.Policy == PolicyNoop {
		return OutcomeWouldKill, ""
	}
	err = g.act(ctx, a, kills, now)
	switch {
	case err == nil:
		return OutcomeKilled, ""
	case a.Kills > 0: // whatever failed after that: these are dead, and count.
		return OutcomeIncomplete, err.Error()
	}
	g.limiter.refund(a.Target.GroupID, reserved)
	return excuse(err)
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
	group.Identity, group.Kind = a.Target.Identity, a.Target.Kind
	a.kills = kernelKills(&group.Events)
	now, ok := newTarget(&group, g.margin())
	if !ok {
		return nil, OutcomeBelow, "the limit has gone"
	}
	usage, ok := group.Usage.Get()
	free, known := reclaimable(&group)
	if !ok || !known {
		return nil, OutcomeFailed, "what reclaim could free is not known"
	}
	a.Target.Limit, a.Target.Threshold, a.Target.ahead, a.Target.beyond = now.Limit, now.Threshold, now.ahead, now.beyond
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

// fastReclaim is the least time that reclaim is assumed to take.
const fastReclaim = 20 * time.Millisecond

// reclaim has enough of a group's cache reclaimed to bring it below its threshold, if
// that can help. If nobody needs to be killed after that, it returns the outcome that
// says why. The policy noop touches nothing.
func (g *Guard) reclaim(a *Action, group *oom.Group, seen *growth) (Outcome, string) {
	hidden := g.hidden(a, group, seen)
	short := a.Usage - a.Target.Threshold
	if g.o.Policy == PolicyNoop || a.Reclaimable+hidden <= short || hidden == 0 && !g.hasTime(seen) {
		return "", ""
	}
	before := a.Usage
	g.reclaimNow(a.Target.GroupID, short+g.margin().Of(a.Target.Limit)/4)
	now, outcome, reason := g.observe(a, seen)
	a.Reclaimed = before - min(before, a.Usage)
	if outcome != "" {
		return outcome, reason
	}
	*group = *now
	seen.pinned = group.Stat.Kernel.Or(0)
	if a.Reclaimable > g.spared(a.Target.Limit) {
		return OutcomeReclaimable, ""
	}
	return "", ""
}

// hidden is the kernel memory that may turn out to be caches: on v1 nothing tells how
// much of it is. Too little to spare anybody for is not worth looking for, nor is what an
// earlier reclaim could not free.
func (g *Guard) hidden(a *Action, group *oom.Group, seen *growth) uint64 {
	if group.Stat.SlabReclaimable.IsSet() {
		return 0
	}
	kernel := group.Stat.Kernel.Or(0)
	return kernel - min(kernel, max(g.spared(a.Target.Limit), seen.pinned+g.spared(a.Target.Limit)))
}

// hasTime tells whether there is time for reclaim: on a busy node with v1 it takes a
// good part of a second, and the little that is left to free is not worth being late.
func (g *Guard) hasTime(seen *growth) bool {
	left := seen.timeLeft(g.o.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	return left > 2*g.slowest
}

// timeReclaim notes how long a reclaim took: slowest rises at once, and falls slowly.
func (g *Guard) timeReclaim(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slowest = max(took, g.slowest*9/10, fastReclaim)
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
	case errors.Is(err, ErrOvertaken):
		return OutcomeOvertaken, ""
	case errors.Is(err, ErrStale):
		return OutcomeStanding, err.Error()
	case errors.Is(err, ErrGone), errors.Is(err, fs.ErrNotExist):
		return OutcomeGone, ""
	}
	return OutcomeFailed, err.Error()
}

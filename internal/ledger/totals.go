// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"sort"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// totals are what has been published.
type totals struct {
	workloads, pods killTable
	records         []*oom.Kill
	survivors       []survivor
	marked          time.Time // when the living were told from the dead.
	unmarked        time.Time // when the first kill since then was counted; zero: none.
}

func newTotals() totals { return totals{workloads: killTable{}, pods: killTable{}} }

// total is what one workload, or one pod's limit, adds up to.
type total struct {
	Kills    uint64    `json:"kills"`
	OOMs     uint64    `json:"ooms,omitempty"`
	Survived uint64    `json:"survived,omitempty"`
	Last     time.Time `json:"last"`
	Seen     time.Time `json:"seen"` // when it was last known to live, or was killed.
	StandIn  bool      `json:"stand_in,omitempty"`
	Path     string    `json:"path,omitempty"` // where to ask for its real name.
}

// killTable has a total for each workload with kills.
type killTable map[oom.Workload]*total

// note returns the workload's total, which has had a kill at that time.
func (t killTable) note(w oom.Workload, standIn bool, path string, at, now time.Time) *total {
	e := t[w]
	if e == nil {
		e = &total{}
		t[w] = e
	}
	e.Last, e.Seen = latest(e.Last, at), latest(e.Seen, now)
	e.StandIn, e.Path = standIn, path
	return e
}

// rename moves a total to another name, and adds it to what is there.
func (t killTable) rename(from, to oom.Workload) {
	e := t[from]
	if e == nil || from == to {
		return
	}
	delete(t, from)
	e.StandIn = false
	other := t[to]
	if other == nil {
		t[to] = e
		return
	}
	other.Kills += e.Kills
	other.OOMs += e.OOMs
	other.Survived += e.Survived
	other.Last = latest(other.Last, e.Last)
	other.Seen = latest(other.Seen, e.Seen)
}

// evict removes the totals of those that have been dead for longer than age, and
// of the dead beyond number. Each tenant keeps a fair share of that number, for
// its most recent dead, so that one with many cannot push out those of others. It
// returns the kills of those removed.
func (t killTable) evict(now time.Time, age time.Duration, number int) (kills uint64) {
	type dead struct {
		w    oom.Workload
		seen time.Time
	}
	var all []dead
	for w, e := range t {
		if e.Seen.Before(now) {
			all = append(all, dead{w, e.Seen})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].seen.After(all[j].seen) })
	counts := make(map[string]int)
	for _, d := range all {
		counts[tenantOf(d.w)]++
	}
	share, rest := fairShare(counts, number)
	met := make(map[string]int, len(counts))
	for _, d := range all {
		tenant := tenantOf(d.w)
		met[tenant]++
		keep := met[tenant] <= share
		if !keep && rest > 0 {
			keep, rest = true, rest-1
		}
		if !keep || now.Sub(d.seen) > age {
			kills += t[d.w].Kills
			delete(t, d.w)
		}
	}
	return kills
}

// tenantOf returns on whose behalf a workload ran, as far as its labels tell: a
// namespace, a user's manager, or the node itself.
func tenantOf(w oom.Workload) string {
	if w.Namespace != "" || !strings.HasPrefix(w.Container, "user@") {
		return w.Namespace
	}
	user, _, _ := strings.Cut(w.Container, "/")
	return "/" + user
}

// fairShare returns the most that each may have of number, and what can't be
// shared out evenly. Those that want less leave the rest to the others.
func fairShare(wanted map[string]int, number int) (share, rest int) {
	counts := make([]int, 0, len(wanted))
	for _, n := range wanted {
		counts = append(counts, n)
	}
	sort.Ints(counts)
	for i, n := range counts {
		if share = number / (len(counts) - i); n > share {
			return share, number - share*(len(counts)-i)
		}
		number -= n
	}
	return share, number
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// workloadOf returns the labels of a cgroup: its name, or its path where there
// is none.
func workloadOf(who oom.Identity, path string) (w oom.Workload, standIn bool) {
	if who.Workload != (oom.Workload{}) {
		return who.Workload, who.StandIn
	}
	return oom.Workload{Container: path}, who.StandIn
}

// renameStandIns asks again for the names of those that are counted by their
// ids.
func (l *Ledger) renameStandIns() {
	for w, t := range l.totals.workloads {
		if who, ok := t.realName(&l.cgroups); ok {
			l.totals.workloads.rename(w, who)
			l.totals.renameRecords(w, who)
			l.cases.rename(w, who)
			l.changed()
		}
	}
	for w, t := range l.totals.pods {
		if who, ok := t.realName(&l.cgroups); ok {
			who.Container = ""
			l.totals.pods.rename(w, who)
			l.changed()
		}
	}
}

func (t *totals) renameRecords(from, to oom.Workload) {
	for _, k := range t.records {
		if k.Workload == from {
			k.Workload = to
		}
	}
	for i := range t.survivors {
		if t.survivors[i].Workload == from {
			t.survivors[i].Workload = to
		}
	}
}

// realName returns the name for a total that has ids in place of one, if it is
// known by now.
func (t *total) realName(gs *cgroups) (oom.Workload, bool) {
	if !t.StandIn {
		return oom.Workload{}, false
	}
	who, _, ok := gs.whoIs(t.Path)
	return who.Workload, ok && !who.StandIn && who.Workload != (oom.Workload{})
}

// markGap is how often the living are told from the dead.
const markGap = 10 * time.Second

// needsMark tells whether the dead may have become too many, and no read of all
// cgroups for another reason has come.
func (t *totals) needsMark(now time.Time) bool {
	return !t.unmarked.IsZero() && now.Sub(t.unmarked) >= markGap
}

// markLiving notes which workloads live, and evicts the dead that are too many
// or too old.
func (l *Ledger) markLiving(t oom.Tree, now time.Time) {
	workloads, pods := l.totals.workloads, l.totals.pods
	if len(workloads)+len(pods) == 0 || now.Sub(l.totals.marked) < markGap {
		return
	}
	l.totals.marked, l.totals.unmarked = now, time.Time{}
	for i := range t.Groups {
		g := &t.Groups[i]
		if g.Owner != i {
			continue
		}
		w, _ := workloadOf(g.Identity, text.Escape(g.Path))
		if e := workloads[w]; e != nil {
			e.Seen = now
		}
		if e := pods[w]; e != nil {
			e.Seen = now
		}
	}
	before := len(workloads) + len(pods)
	l.counts.Evicted += workloads.evict(now, l.o.KeepAge, l.o.KeepDead)
	pods.evict(now, l.o.KeepAge, l.o.KeepDead)
	if len(workloads)+len(pods) != before {
		l.changed()
	}
}

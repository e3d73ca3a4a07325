// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// killCase is one kill that the kernel has counted: first open, then published
// with what was found out about it, or closed as a duplicate.
type killCase struct {
	opened time.Time
	read   uint64 // reads of all cgroups that had begun by then.

	closed   time.Time // when it was published; zero: it is open.
	workload oom.Workload
	record   *oom.Kill
	finding
}

// finding is what the evidence says about one case.
type finding struct {
	line     *line    // nil: the log has no line of it (yet).
	guessed  bool     // nothing but elimination joins the line with the cgroup.
	vague    bool     // and there were several possibilities.
	cgroup   *cgroup  // the victim's, where it was read.
	path     string   // of the victim's cgroup; empty: unattributed.
	evidence string   // what named it.
	shown    uint64   // the read of the cgroups that showed the kill.
	decision uint64   // the OOM that it belongs to.
	witness  *witness // the sighting (tracefs, BPF), where there is no line.
	removed  bool     // it was in a removed child of the cgroup.
}

const (
	// caseAge is how long a closed case waits for late evidence.
	caseAge = time.Minute
	// maxClosed bounds the closed cases and maxOpen the open ones: kills beyond
	// maxOpen are unattributed immediately.
	maxClosed = 4096
	maxOpen   = 1 << 18
)

// cases are the open kills, and those that were closed in the last minute.
type cases struct {
	open   []*killCase // oldest first.
	closed []*killCase // in the order of their closing.
	debt   int64       // by how much vmstat went back beyond the open cases.
}

// add opens n cases. Where vmstat went back, n is negative: the youngest cases are
// dropped, and what is left of n becomes a debt. It returns how many did not fit.
func (cs *cases) add(n int64, at time.Time, read uint64) (excess int64) {
	for ; n < 0 && len(cs.open) > 0; n++ {
		cs.open = cs.open[:len(cs.open)-1]
	}
	if n < 0 {
		cs.debt -= n
		return 0
	}
	paid := min(n, cs.debt)
	cs.debt -= paid
	room := min(n-paid, int64(maxOpen-len(cs.open)))
	for range room {
		cs.open = append(cs.open, &killCase{opened: at, read: read})
	}
	return n - paid - room
}

// take removes an open case for a kill that the read of the cgroups with this
// number has shown. It prefers the youngest case that was open when that read
// began, and otherwise takes the youngest of all. So cases that wait for evidence
// keep their age, and a case younger than the read is left for its own kill.
func (cs *cases) take(shown uint64) *killCase {
	for i, c := range slices.Backward(cs.open) {
		if c.read < shown {
			return cs.takeAt(i)
		}
	}
	return cs.takeAt(len(cs.open) - 1)
}

// countSlack is how long before the moment of a sighting or a line its kill may have been
// counted: the kernel counts first, and may be held up in between.
const countSlack = 200 * time.Millisecond

// takeOf removes the open case of a kill whose time is known: the oldest that was not
// opened before it, else the one that take removes. So what is left open is of kills that
// nothing was found out about, and as old as these.
func (cs *cases) takeOf(at time.Time, shown uint64) *killCase {
	for i, c := range cs.open {
		if c.read < shown && !c.opened.Before(at.Add(-countSlack)) {
			return cs.takeAt(i)
		}
	}
	return cs.take(shown)
}

func (cs *cases) takeAt(i int) *killCase {
	if i < 0 || i >= len(cs.open) {
		return nil
	}
	c := cs.open[i]
	cs.open = slices.Delete(cs.open, i, i+1)
	return c
}

// close keeps a case for late evidence.
func (cs *cases) close(c *killCase, now time.Time) {
	c.closed = now
	cs.closed = appendBounded(cs.closed, c, maxClosed)
}

// forget drops the closed cases that are too old for late evidence.
func (cs *cases) forget(now time.Time) {
	cs.closed = slices.DeleteFunc(cs.closed, func(c *killCase) bool { return now.Sub(c.closed) > caseAge })
}

// find returns the oldest closed case that fits.
func (cs *cases) find(fits func(*killCase) bool) *killCase {
	if i := slices.IndexFunc(cs.closed, fits); i >= 0 {
		return cs.closed[i]
	}
	return nil
}

// rename moves closed cases to another workload.
func (cs *cases) rename(from, to oom.Workload) {
	for _, c := range cs.closed {
		if c.workload == from {
			c.workload = to
		}
	}
}

// count returns how many closed cases fit.
func (cs *cases) count(fits func(*killCase) bool) (n int64) {
	for _, c := range cs.closed {
		if fits(c) {
			n++
		}
	}
	return n
}

// firstOf tells whether the decision has not hit the workload before: the kills
// of one group kill are one OOM.
func (cs *cases) firstOf(decision uint64, w oom.Workload) bool {
	return cs.find(func(c *killCase) bool {
		return c.decision == decision && c.workload == w && c.path != ""
	}) == nil
}

// lineless tells whether a closed case still lacks its line.
func (c *killCase) lineless() bool { return c.line == nil }

// readTwice returns how many open cases have been followed by two reads of all
// cgroups, done being the number of the last read.
func (cs *cases) readTwice(done uint64) (n int64) {
	for _, c := range cs.open {
		if done >= c.read+2 {
			n++
		}
	}
	return n
}

// ripe returns how many of the oldest open cases were opened before the time
// and have since been followed by two reads of all cgroups.
func (cs *cases) ripe(before time.Time, done uint64) (n int64) {
	for _, c := range cs.open {
		if c.opened.After(before) || done < c.read+2 {
			break
		}
		n++
	}
	return n
}

// needRead tells whether a case that was opened by that time lacks one of its two
// reads.
func (cs *cases) needRead(done uint64, before time.Time) bool {
	for _, c := range slices.Backward(cs.open) {
		if !c.opened.After(before) {
			return done < c.read+2
		}
	}
	return false
}

// since returns how many open cases were opened after the read with this number
// had begun.
func (cs *cases) since(read uint64) (n int) {
	for _, c := range slices.Backward(cs.open) {
		if c.read < read {
			break
		}
		n++
	}
	return n
}

func appendBounded[T any](s []T, v T, most int) []T {
	if len(s) >= most {
		s = append(s[:0], s[1:]...)
	}
	return append(s, v)
}

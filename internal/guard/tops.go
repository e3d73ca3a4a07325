// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"math"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// stir is the smallest step, up or down, of a group at the top that may hide that
	// one of its groups has grown by more while another shrank.
	stir = 1 << 20
	// stirredMax is the longest time that a group goes unread after such a step. If
	// there are more than crowd such groups, each is read less often.
	stirredMax = 250 * time.Millisecond
	crowd      = 200
)

// top is a group right below the root.
type top struct {
	usage uint64
	grown uint64    // the sum of all rises.
	moved uint64    // the sum of all rises and falls.
	at    time.Time // of the last reading.
	stir  time.Time // of the last reading that showed a step of at least stir.
	alarm uint64    // value of grown above which one of its groups must be read.
	known bool
}

// stirred tells whether the group has to be read as if nothing were known of its top:
// that is so until it has been read once after the top has come to rest.
func (w *watched) stirred() bool {
	return w.top != nil && !w.armed && !w.top.stir.Before(w.read)
}

// alarmed tells whether a group at the top has grown by so much that one below
// it must be read.
func (g *Guard) alarmed() bool {
	for _, t := range g.tops {
		if t.grown > t.alarm {
			return true
		}
	}
	return false
}

// readTops adds up how the groups at the top have grown, if it is time to.
func (g *Guard) readTops(now time.Time) bool {
	if g.o.Tops == nil || len(g.watched) == 0 {
		g.tick = time.Time{}
		return false
	}
	// If groups are due, a fresh reading of the tops may save reading these groups.
	due := g.changed || !g.next.After(now)
	if now.Before(g.tick) && (!due || now.Sub(g.ticked) < tickMin/2) {
		return false
	}
	g.ticked = now
	for path, usage := range g.o.Tops.Tops() {
		t := g.tops[path]
		if t == nil {
			t = &top{usage: usage, alarm: math.MaxUint64}
			g.tops[path] = t
		}
		t.grown += usage - min(t.usage, usage)
		t.at = now
		step := max(usage, t.usage) - min(usage, t.usage)
		t.moved += step
		if step >= stir {
			t.stir, g.changed = now, true
		}
		t.usage, t.known = usage, true
	}
	return true
}

// topOf finds the group at the top that holds a path, nil if its usage is not
// read.
func (g *Guard) topOf(id oom.GroupID) *top {
	name, _, _ := strings.Cut(strings.TrimPrefix(id.Path, "/"), "/")
	if t := g.tops["/"+name]; t != nil && t.known {
		return t
	}
	return nil
}

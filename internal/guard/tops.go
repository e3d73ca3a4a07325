// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"math"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// stir is the least step of the group at a top, up or down, behind which one
	// of its groups may have grown by more while another shrank.
	stir = 1 << 20
	// stirredMax is the longest time that a group goes unread then. With more than a
	// crowd of them each is read the more rarely.
	stirredMax = 250 * time.Millisecond
	crowd      = 200
)

// top is a group right below the root.
type top struct {
	usage uint64
	grown uint64    // the sum of all rises.
	moved uint64    // the sum of all rises and falls.
	at    time.Time // of the reading.
	stir  time.Time // the last one in which it had moved by much.
	alarm uint64    // grown from which on one of its groups is to be read.
	known bool
}

// stirred tells whether the group has to be read as if nothing were known of
// its top, until that has been done once after the top has come to rest.
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
	// Where groups are due, a fresh reading may save theirs.
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

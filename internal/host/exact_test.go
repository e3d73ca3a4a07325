// SPDX-License-Identifier: Apache-2.0

package host

import (
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// equals is a node of n processes that all look the same.
func equals(n int) (*fakeProc, *fakeTree) {
	proc, tree := small()
	proc.procs = nil
	for pid := int32(100); pid < int32(100+n); pid++ {
		proc.procs = append(proc.procs, oom.Process{PID: pid, RSS: mib, Score: oom.Of(667)})
		proc.exact[pid] = oom.Process{RSS: mib, Swap: 40 << 10, Start: uint64(pid), Comm: "same"}
	}
	return proc, tree
}

// TestSizesAreRecalled: of many equals few are looked at again, and those that
// are shown always are.
func TestSizesAreRecalled(t *testing.T) {
	const n = 400
	proc, tree := equals(n)
	h := newHost(proc, tree)
	scrape := func() *oom.Processes {
		t.Helper()
		ps, err := h.Scrape(time.Time{}).Processes()
		if err != nil {
			t.Fatal(err)
		}
		return ps
	}
	scrape()
	if len(proc.looks) != n {
		t.Fatalf("%d of %d equals were looked at first", len(proc.looks), n)
	}
	for range 2 * cacheFor {
		proc.looks = nil
		scrape()
		if len(proc.looks) > n/cacheFor+10 {
			t.Errorf("%d of %d equals were looked at again", len(proc.looks), n)
		}
	}
	for pid, e := range proc.exact {
		e.Comm = "renamed"
		proc.exact[pid] = e
	}
	for _, row := range scrape().Top {
		if row.Comm != "renamed" {
			t.Errorf("process %d is shown as it was", row.PID)
		}
	}
}

// TestRecalledWinnerShrank: where the sizes of the winner were not those of
// now, the ranking is done over.
func TestRecalledWinnerShrank(t *testing.T) {
	proc, tree := equals(50)
	h := newHost(proc, tree)
	first, err := h.Scrape(time.Time{}).Processes()
	if err != nil {
		t.Fatal(err)
	}
	winner := first.Victims[0].Process.PID
	e := proc.exact[winner]
	e.Swap = 0
	proc.exact[winner] = e
	second := first.Top[1].PID
	delete(proc.exact, second)
	ps, err := h.Scrape(time.Time{}).Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range append(ps.Top[:1:1], ps.Victims[0].Process) {
		if row.PID == winner || row.PID == second || row.PID == 0 {
			t.Errorf("process %d is in front", row.PID)
		}
	}
}

// TestStaleInNearScope: a limit's victim is told by the adj of now, which the
// node's score need not show.
func TestStaleInNearScope(t *testing.T) {
	proc, tree := small()
	for i := range proc.procs {
		proc.procs[i].Stale = true
	}
	now := &changed{fakeProc: proc, pid: 11, adj: 400}
	h := New(Options{Proc: now, Hierarchy: tree, Names: asGiven{}, Top: 3, NearRatio: 0.10})
	ps, err := h.Scrape(time.Time{}).Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range ps.Victims {
		if v.Scope == oom.LevelContainer && (v.Process.PID != 11 || v.Process.Adj != 400) {
			t.Errorf("the victim is %d with adj %d, want 11 with 400", v.Process.PID, v.Process.Adj)
		}
	}
	if len(ps.Victims) < 2 {
		t.Errorf("%d victims, want the node's and the container's", len(ps.Victims))
	}
}

// changed says of one process another adj when it is read again.
type changed struct {
	*fakeProc
	pid int32
	adj int16
}

func (c *changed) Refresh(p *oom.Process) error {
	err := c.fakeProc.Refresh(p)
	if p.PID == c.pid {
		p.Adj = c.adj
	}
	return err
}

// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const refreshIn = 8

func setAdj(t *testing.T, pid int32, adj int) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), fmt.Append(nil, adj), 0); err != nil {
		t.Fatal(err)
	}
}

// scanned returns what a scan says of the process.
func scanned(t *testing.T, f *FS, pid int32) oom.Process {
	t.Helper()
	return scannedUnchanged(t, f, pid, nil)
}

func scannedUnchanged(t *testing.T, f *FS, pid int32, still []int32) oom.Process {
	t.Helper()
	processes, _, err := f.Scan(nil, still)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if p.PID == pid {
			return p
		}
	}
	t.Fatalf("no process %d", pid)
	return oom.Process{}
}

// glancing reads this host's processes, of which one is ours, and does not read
// all of each time.
func glancing(t *testing.T) (f *FS, pid int32) {
	t.Helper()
	f, err := New(Options{Root: "/proc", Refresh: refreshIn})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if f.scan.refresh != refreshIn {
		t.Skip("oom_score of this kernel does not show small changes")
	}
	return f, child(t, exec.Command("cat"))
}

// TestScanGlances changes a process' adj: a change that the score shows is seen
// by the next scan, another one when it is the process' turn.
func TestScanGlances(t *testing.T) {
	f, pid := glancing(t)
	setAdj(t, pid, 100)
	if p := scanned(t, f, pid); p.Adj != 100 {
		t.Fatalf("a new process has adj %d", p.Adj)
	}
	late := 0
	for i := range 4 * refreshIn { // by 1: the score stays.
		adj := 101 + i%2
		setAdj(t, pid, adj)
		if p := scanned(t, f, pid); int(p.Adj) != adj {
			late++
		}
	}
	if late < refreshIn || late > 3*refreshIn {
		t.Errorf("%d of %d scans were late", late, 4*refreshIn)
	}
	setAdj(t, pid, 600)
	if p := scanned(t, f, pid); p.Adj != 600 {
		t.Errorf("after a large change: adj %d", p.Adj)
	}
	setAdj(t, pid, 601)
	seen := false
	for range refreshIn {
		seen = seen || scanned(t, f, pid).Adj == 601
	}
	if !seen {
		t.Errorf("a change by 1 is not seen in %d scans", refreshIn)
	}
}

// TestScanUnchanged: of a process in a unchanged group nothing is read but when it is
// its turn, and not before it has settled.
func TestScanUnchanged(t *testing.T) {
	f, pid := glancing(t)
	still := []int32{1, pid, pid + 1}
	for i := range settled {
		adj := 100 * (i + 1)
		setAdj(t, pid, adj)
		if p := scannedUnchanged(t, f, pid, still); int(p.Adj) != adj {
			t.Fatalf("scan %d sees adj %d, want %d", i+1, p.Adj, adj)
		}
	}
	late := 0
	for i := range 4 * refreshIn {
		adj := 100 + 100*(i%2)
		setAdj(t, pid, adj)
		if p := scannedUnchanged(t, f, pid, still); int(p.Adj) != adj {
			late++
		}
	}
	// Each change shows in the scan that is the process' turn, one in four; the
	// rest are late where the adj of that one was the other.
	if late == 0 || late > 3*refreshIn {
		t.Errorf("%d of %d scans were late", late, 4*refreshIn)
	}
	setAdj(t, pid, 700)
	if p := scanned(t, f, pid); p.Adj != 700 {
		t.Errorf("when its group moves, its adj is %d, want 700", p.Adj)
	}
	seen := 0
	setAdj(t, pid, 300)
	for seen = 1; seen <= refreshIn && scannedUnchanged(t, f, pid, still).Adj != 300; seen++ {
	}
	if seen > refreshIn/2 {
		t.Errorf("a change in an unchanged group is seen by scan %d, want %d at the latest", seen, refreshIn/2)
	}
}

// TestRefresh reads a process on demand.
func TestRefresh(t *testing.T) {
	f := live(t)
	pid := child(t, exec.Command("cat"))
	setAdj(t, pid, 300)
	p := oom.Process{PID: pid, Adj: 5, Stale: true, Score: oom.Of(1)}
	if err := f.Refresh(&p); err != nil || p.Stale || p.Adj != 300 || p.RSS == 0 {
		t.Errorf("Refresh: %v, %+v", err, p)
	}
	p = oom.Process{PID: pid, Adj: 5, Stale: true}
	if err := f.Exact(&p); err != nil || p.Stale || p.Adj != 300 {
		t.Errorf("Exact: %v, %+v", err, p)
	}
	if err := f.Refresh(&oom.Process{PID: 1 << 30}); !gone(err) {
		t.Errorf("a process that is not there: %v", err)
	}
}

// TestKnownIdentity: a PID that is used again is another process.
func TestKnownIdentity(t *testing.T) {
	s := scanner{fresh: []known{{pid: 3, inode: 30}, {pid: 5, inode: 50}, {pid: 9, inode: 90}}}
	s.end()
	s.begin(nil)
	for _, c := range []struct {
		pid   int32
		inode uint64
		want  bool
	}{{2, 20, false}, {3, 30, true}, {4, 40, false}, {5, 51, false}, {9, 90, true}, {10, 100, false}} {
		if k := s.cached(c.pid, c.inode); (k != nil) != c.want || k != nil && k.pid != c.pid {
			t.Errorf("recall(%d, %d) = %+v", c.pid, c.inode, k)
		}
	}
}

// TestHolds: what a score proves.
func TestHolds(t *testing.T) {
	for _, c := range []struct {
		known known
		score oom.Amount
		want  bool
	}{
		{known{score: oom.Of(667)}, oom.Of(667), true},
		{known{score: oom.Of(667)}, oom.Of(668), false},
		{known{score: oom.Of(667)}, oom.Amount{}, false},
		{known{}, oom.Amount{}, false},
		{known{score: oom.Of(0), adj: -999}, oom.Of(0), false},
		{known{score: oom.Of(0), adj: -1000}, oom.Of(0), true},
		{known{score: oom.Of(0), noMemory: true}, oom.Of(0), true},
	} {
		if got := c.known.unchanged(c.score); got != c.want {
			t.Errorf("%+v, score %v: %v", c.known, c.score, got)
		}
	}
}

// TestEachProcessHasItsTurn holds, for each number of scans, that a process whose cgroup is
// unchanged is read in full once in so many.
func TestEachProcessHasItsTurn(t *testing.T) {
	const pid = 4243
	for refresh := uint64(2); refresh <= 40; refresh++ {
		for first := range 3 * refresh {
			read := false
			for turn := first; turn < first+refresh; turn++ {
				s := scanner{refresh: refresh, turn: turn, idle: []int32{pid}}
				read = read || !s.mayUseCached(&known{pid: pid, scans: settled}) && (pid+turn)%refresh == 0
			}
			if !read {
				t.Fatalf("not read in full in %d scans from scan %d on", refresh, first)
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The tests here hold our readers against those of prometheus/procfs.

// library opens the same tree with procfs.
func library(t testing.TB, root string) procfs.FS {
	t.Helper()
	lib, err := procfs.NewFS(root)
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

// sameProcess compares what procfs can tell of one process.
func sameProcess(t *testing.T, f *FS, lib procfs.FS, scanned oom.Process) {
	t.Helper()
	p, err := lib.Proc(int(scanned.PID))
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Statm()
	if err != nil {
		t.Fatal(err)
	}
	if want := m.Resident * f.pageSize; scanned.RSS != want {
		t.Errorf("process %d: statm rss %d, procfs has %d", scanned.PID, scanned.RSS, want)
	}
	if want := (m.Resident - m.Shared) * f.pageSize; scanned.Anon != want {
		t.Errorf("process %d: statm anon %d, procfs has %d", scanned.PID, scanned.Anon, want)
	}
	exact := scanned
	if err := f.Exact(&exact); err != nil {
		t.Fatal(err)
	}
	status, err := p.NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	stat, err := p.Stat()
	if err != nil {
		t.Fatal(err)
	}
	want := oom.Process{
		PID: int32(status.TGID), Group: -1, Adj: scanned.Adj, Score: scanned.Score, Init: scanned.Init, Exact: true,
		RSS: status.VmRSS, Swap: status.VmSwap, PageTables: status.VmPTE + status.VmPMD, Anon: status.RssAnon,
		Start: stat.Starttime, Comm: stat.Comm,
	}
	if diff := cmp.Diff(want, exact, amounts); diff != "" {
		t.Errorf("(-procfs +ours)\n%s", diff)
	}
}

func TestOracleProcessFixture(t *testing.T) {
	root := hostTree(t)
	f, lib := open4k(t, root), library(t, root)
	for _, p := range hostProcesses() {
		if p.PID != 77 { // it has no status.
			sameProcess(t, f, lib, p)
		}
	}
}

// TestOracleProcessLive stops the process first, so that its size stays.
func TestOracleProcessLive(t *testing.T) {
	f := live(t)
	pid := child(t, exec.Command("cat"))
	if err := unix.Kill(int(pid), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitState(t, pid, "T")
	p, ok := find(t, f, pid)
	if !ok {
		t.Fatal("the child is not found")
	}
	sameProcess(t, f, library(t, "/proc"), p)
}

// libraryNode is what procfs can tell of a node.
func libraryNode(t *testing.T, lib procfs.FS) oom.Node {
	t.Helper()
	m, err := lib.Meminfo()
	if err != nil {
		t.Fatal(err)
	}
	amount := func(n *uint64) oom.Amount {
		if n == nil {
			return oom.Amount{}
		}
		return oom.Of(*n)
	}
	node := oom.Node{
		Total: amount(m.MemTotalBytes), Free: amount(m.MemFreeBytes), Available: amount(m.MemAvailableBytes),
		SwapTotal: amount(m.SwapTotalBytes), SwapFree: amount(m.SwapFreeBytes),
		ActiveFile: amount(m.ActiveFileBytes), InactiveFile: amount(m.InactiveFileBytes),
		SReclaimable: amount(m.SReclaimableBytes), // it has no KReclaimable.
	}
	return node
}

// libraryZones is what procfs can tell of the zones; the file counters of a
// zone are not in it.
func libraryZones(t *testing.T, lib procfs.FS, pageSize uint64) []oom.Zone {
	t.Helper()
	info, err := lib.Zoneinfo()
	if err != nil {
		t.Fatal(err)
	}
	bytes := func(pages *int64) uint64 {
		if pages == nil {
			return 0
		}
		return uint64(*pages) * pageSize
	}
	var zones []oom.Zone
	for _, z := range info {
		node, err := strconv.Atoi(z.Node)
		if err != nil {
			t.Fatal(err)
		}
		zone := oom.Zone{NUMANode: node, Name: z.Zone, Min: bytes(z.Min), Present: bytes(z.Present), SlabReclaimable: bytes(z.NrSlabReclaimable)}
		zone.Protection = bytes(z.Protection[len(z.Protection)-1])
		zone.Free = bytes(z.NrFreePages)
		if z.Managed != nil {
			zone.Managed = oom.Of(bytes(z.Managed))
		}
		zones = append(zones, zone)
	}
	return zones
}

// compareNode returns where our node and the library's differ.
func compareNode(t *testing.T, f *FS, lib procfs.FS, exactZones bool) string {
	t.Helper()
	ours, err := f.Node()
	if err != nil {
		t.Fatal(err)
	}
	want := libraryNode(t, lib)
	wantZones := libraryZones(t, lib, f.pageSize)
	zones := ours.Zones
	for i := range zones {
		zones[i].ActiveFile, zones[i].InactiveFile = 0, 0
		if !exactZones { // they change while we look.
			zones[i].Free, zones[i].SlabReclaimable = 0, 0
			wantZones[min(i, len(wantZones)-1)].Free, wantZones[min(i, len(wantZones)-1)].SlabReclaimable = 0, 0
		}
	}
	got := oom.Node{
		Total: ours.Total, Free: ours.Free, Available: ours.Available, SwapTotal: ours.SwapTotal, SwapFree: ours.SwapFree,
		ActiveFile: ours.ActiveFile, InactiveFile: ours.InactiveFile,
		SReclaimable: ours.SReclaimable,
	}
	if diff := cmp.Diff(wantZones, zones, amounts); diff != "" {
		return fmt.Sprintf("zones (-procfs +ours)\n%s", diff)
	}
	return cmp.Diff(want, got, amounts)
}

func TestOracleNodeFixture(t *testing.T) {
	root := hostTree(t)
	// procfs finds the free pages in nr_free_pages, which a zone without
	// pages does not have: 0 there too.
	if diff := compareNode(t, open4k(t, root), library(t, root), true); diff != "" {
		t.Error(diff)
	}
}

// TestOracleNodeLive compares on the running kernel, whose memory moves
// between the two readings: one try in many has to be equal.
func TestOracleNodeLive(t *testing.T) {
	f, lib := live(t), library(t, "/proc")
	var diff string
	for range 500 {
		if diff = compareNode(t, f, lib, false); diff == "" {
			return
		}
	}
	t.Errorf("no two readings are equal, the last: %s", diff)
}

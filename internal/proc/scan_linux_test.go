// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// hostProcesses are those of testdata/host.txtar that have memory, as a scan
// sees them.
func hostProcesses() []oom.Process {
	const page = 4096
	return []oom.Process{
		{PID: 1, Group: -1, Init: true, Score: oom.Of(0), RSS: 2000 * page, Anon: 500 * page},
		{PID: 77, Group: -1, Adj: -1000, Score: oom.Of(0), RSS: 10 * page, Anon: 10 * page},
		{PID: 4242, Group: -1, Adj: 900, Score: oom.Of(1266), RSS: 12000 * page, Anon: 11200 * page},
	}
}

func TestScan(t *testing.T) {
	f := open4k(t, hostTree(t))
	dst := make([]oom.Process, 5, 10)
	for i := range dst {
		dst[i] = oom.Process{PID: 999, Exact: true, Comm: "old", Swap: 7}
	}
	got, skipped, err := f.Scan(dst, nil)
	if err != nil || skipped != (oom.Skipped{}) {
		t.Fatalf("skipped %+v, %v", skipped, err)
	}
	if diff := cmp.Diff(hostProcesses(), got, amounts); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if &got[0] != &dst[0] {
		t.Error("Scan did not use the space that it was given")
	}
}

// TestScanDamaged breaks one thing at process 4242 at a time.
func TestScanDamaged(t *testing.T) {
	const statm, score, adj = "statm", "oom_score", "oom_score_adj"
	unreadable := oom.Skipped{UnreadableProcesses: 1}
	vanished := oom.Skipped{VanishedProcesses: 1}
	for name, c := range map[string]struct {
		file, content string // content "-" removes it, "/" puts a directory there.
		skipped       oom.Skipped
		score         oom.Amount // of the process that stays, where nothing is skipped.
	}{
		"statm gone":          {statm, "-", vanished, oom.Amount{}},
		"statm is a dir":      {statm, "/", unreadable, oom.Amount{}},
		"statm empty":         {statm, "", unreadable, oom.Amount{}},
		"statm cut":           {statm, "30000 12", unreadable, oom.Amount{}},
		"statm garbage":       {statm, "\x7fELF\x00\xff", unreadable, oom.Amount{}},
		"statm beyond 2^64":   {statm, "18446744073709551616 1 1 0 0 0 0\n", unreadable, oom.Amount{}},
		"bytes beyond 2^64":   {statm, "18446744073709551615 18446744073709551615 1 0 0 0 0\n", unreadable, oom.Amount{}},
		"statm without end":   {statm, "30000 12000 800" + string(make([]byte, 600)), unreadable, oom.Amount{}},
		"adj gone":            {adj, "-", vanished, oom.Amount{}},
		"adj is a dir":        {adj, "/", unreadable, oom.Amount{}},
		"adj empty":           {adj, "", unreadable, oom.Amount{}},
		"adj out of range":    {adj, "1001\n", unreadable, oom.Amount{}},
		"score gone":          {score, "-", oom.Skipped{}, oom.Amount{}},
		"score is a dir":      {score, "/", oom.Skipped{}, oom.Amount{}},
		"score garbage":       {score, "\xff\xfe\n", oom.Skipped{}, oom.Amount{}},
		"score beyond 2^64":   {score, "18446744073709551616\n", oom.Skipped{}, oom.Amount{}},
		"score of 2^64 minus": {score, "18446744073709551615\n", oom.Skipped{}, oom.Of(18446744073709551615)},
	} {
		t.Run(name, func(t *testing.T) {
			root := hostTree(t)
			path := filepath.Join(root, "4242", c.file)
			remove(t, path)
			switch c.content {
			case "-":
			case "/":
				if err := os.Mkdir(path, 0o755); err != nil {
					t.Fatal(err)
				}
			default:
				write(t, path, c.content)
			}
			want := hostProcesses()
			want[2].Score = c.score
			if c.skipped != (oom.Skipped{}) {
				want = want[:2]
			}
			got, skipped, err := open4k(t, root).Scan(nil, nil)
			if err != nil || skipped != c.skipped {
				t.Errorf("skipped %+v, %v, want %+v", skipped, err, c.skipped)
			}
			if diff := cmp.Diff(want, got, amounts); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestScanForeignNames(t *testing.T) {
	root := hostTree(t)
	write(t, filepath.Join(root, "123"), "a file, no directory")
	for _, name := range []string{"0", "007", "12a", "99999999999", "self", "-5"} {
		write(t, filepath.Join(root, name, "statm"), "1 1 1 1 1 1 1\n")
	}
	got, skipped, err := open4k(t, root).Scan(nil, nil)
	if want := (oom.Skipped{UnreadableProcesses: 1}); err != nil || skipped != want || len(got) != 3 {
		t.Errorf("got %d processes, %+v, %v, want 3 and %+v", len(got), skipped, err, want)
	}
}

func TestScanUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	root := hostTree(t)
	for _, path := range []string{"77", "4242/oom_score"} {
		if err := os.Chmod(filepath.Join(root, path), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "77"), 0o755) })
	got, skipped, err := open4k(t, root).Scan(nil, nil)
	if want := (oom.Skipped{UnreadableProcesses: 1}); err != nil || skipped != want || len(got) != 2 || got[1].Score.IsSet() {
		t.Errorf("got %+v, %+v, %v, want two processes, the second without score, and %+v", got, skipped, err, want)
	}
}

func TestScanBound(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "meminfo"), "")
	makeProcesses(t, root, 50)
	f, err := New(Options{Root: root, MaxProcesses: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	got, skipped, err := f.Scan(nil, nil)
	if want := (oom.Skipped{ProcessesOverBound: 30}); err != nil || skipped != want || len(got) != 20 {
		t.Errorf("got %d processes, %+v, %v, want 20 and %+v", len(got), skipped, err, want)
	}
}

// TestScanOrder has more names than one buffer holds, in whatever order the
// file system lists them.
func TestScanOrder(t *testing.T) {
	const count = 200
	root := t.TempDir()
	write(t, filepath.Join(root, "meminfo"), "")
	makeProcesses(t, root, count)
	f := open4k(t, root)
	f.scan.names = make([]byte, 600)
	got, skipped, err := f.Scan(nil, nil)
	if err != nil || skipped != (oom.Skipped{}) || len(got) != count {
		t.Fatalf("got %d processes, %+v, %v", len(got), skipped, err)
	}
	for i, p := range got {
		pid := i + 1
		if int(p.PID) != pid || p.RSS != uint64(pid+200)*4096 || int(p.Adj) != pid%2001-1000 {
			t.Fatalf("process %d is %+v", pid, p)
		}
	}
}

// TestScanDeadLeader has a process whose first thread has exited: no memory
// there, but a score, and a thread that has both.
func TestScanDeadLeader(t *testing.T) {
	root := hostTree(t)
	dir := filepath.Join(root, "4242")
	const none = "0 0 0 0 0 0 0\n"
	write(t, filepath.Join(dir, "statm"), none)
	write(t, filepath.Join(dir, "task/4242/statm"), none)
	write(t, filepath.Join(dir, "task/4243/statm"), none)
	write(t, filepath.Join(dir, "task/4244/statm"), "30000 12000 800 400 0 11000 0\n")
	write(t, filepath.Join(dir, "task/4245"), "a file")
	f := open4k(t, root)
	got, skipped, err := f.Scan(nil, nil)
	if diff := cmp.Diff(hostProcesses(), got, amounts); err != nil || skipped != (oom.Skipped{}) || diff != "" {
		t.Errorf("%+v, %v (-want +got)\n%s", skipped, err, diff)
	}
	write(t, filepath.Join(dir, "task/4244/statm"), none)
	remove(t, filepath.Join(dir, "task/4245"))
	if got, _, err = f.Scan(got, nil); err != nil || len(got) != 2 {
		t.Errorf("with no thread alive: %+v, %v, want two processes", got, err)
	}
}

func TestScanInitOfContainer(t *testing.T) {
	root := hostTree(t)
	write(t, filepath.Join(root, "2/stat"), "2 (kthreadd)"+" S 0 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 27 0 0\n")
	got, _, err := open4k(t, root).Scan(nil, nil)
	if err != nil || got[0].PID != 1 || got[0].Init {
		t.Errorf("process 1 beside a process 2 that is no kernel thread: %+v, %v, want Init false", got[0], err)
	}
}

func TestScanAllocs(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "meminfo"), "")
	makeProcesses(t, root, 100)
	for _, root := range []string{root, "/proc"} {
		f := open4k(t, root)
		processes, _, err := f.Scan(make([]oom.Process, 0, 100_000), nil)
		if err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(5, func() { processes, _, err = f.Scan(processes, nil) })
		if err != nil || allocs >= 1 {
			t.Errorf("%s: %.1f allocations a scan of %d processes, %v", root, allocs, len(processes), err)
		}
	}
}

// TestProcessVanished asks for a process after its name was listed.
func TestProcessVanished(t *testing.T) {
	root := hostTree(t)
	f := open4k(t, root)
	remove(t, filepath.Join(root, "77"))
	if _, err := f.glance(77, []byte("77"), 0); !gone(err) {
		t.Errorf("process 77 gives %v, want one that says it has gone", err)
	}
}

func TestScanRootRemoved(t *testing.T) {
	root := hostTree(t)
	f := open4k(t, root)
	remove(t, root)
	got, _, err := f.Scan(nil, nil)
	if len(got) != 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %d processes, %v", len(got), err)
	}
}

func TestListingLongNames(t *testing.T) {
	root := t.TempDir()
	want := map[string]bool{".": true, "..": true}
	for i := range 100 {
		name := string(make([]byte, 0, 255))
		for len(name) < 250 {
			name += "x"
		}
		name += strconv.Itoa(i)
		write(t, filepath.Join(root, name), "")
		want[name] = true
	}
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	l, err := list(int(dir.Fd()), []byte(".\x00"), make([]byte, 600))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for {
		name, err := l.next()
		if err != nil {
			t.Fatal(err)
		}
		if name == nil {
			break
		}
		if !want[string(name)] {
			t.Errorf("unexpected or second %q", name)
		}
		delete(want, string(name))
	}
	if len(want) > 0 {
		t.Errorf("%d names are missing", len(want))
	}
}

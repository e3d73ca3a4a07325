// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// hostTree unpacks testdata/host.txtar and returns its directory.
func hostTree(tb testing.TB) string {
	tb.Helper()
	archive, err := txtar.ParseFile("testdata/host.txtar")
	if err != nil {
		tb.Fatal(err)
	}
	root := tb.TempDir()
	for _, file := range archive.Files {
		write(tb, filepath.Join(root, file.Name), string(file.Data))
	}
	return root
}

// write writes one file and the directories above it.
func write(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// remove removes a file or a directory with all in it.
func remove(tb testing.TB, path string) {
	tb.Helper()
	if err := os.RemoveAll(path); err != nil {
		tb.Fatal(err)
	}
}

// open4k opens a tree with pages of 4 KiB, whatever the machine has.
func open4k(tb testing.TB, root string) *FS {
	tb.Helper()
	f, err := New(Options{Root: root, PageSize: 4096})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := f.Close(); err != nil {
			tb.Error(err)
		}
	})
	return f
}

func TestNewNoTree(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "x")
	for name, root := range map[string]string{
		"not there":   filepath.Join(dir, "nothing"),
		"a file":      file,
		"another dir": dir,
		"no name":     "",
	} {
		f, err := New(Options{Root: root})
		if f != nil || err == nil {
			t.Fatalf("%s: New = %v, %v, want an error", name, f, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q is more than a line", name, err)
		}
		if !strings.Contains(err.Error(), root) || !strings.Contains(err.Error(), "--path.procfs") {
			t.Errorf("%s: error %q names neither %q nor the remedy", name, err, root)
		}
	}
}

func TestNewHalfTree(t *testing.T) {
	for _, only := range []string{"meminfo", "sys/kernel/osrelease"} {
		root := t.TempDir()
		write(t, filepath.Join(root, only), "x\n")
		if f, err := New(Options{Root: root}); err != nil {
			t.Errorf("a tree with only %s: %v", only, err)
		} else if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNode(t *testing.T) {
	const kib = 1024
	want := oom.Node{
		Release: oom.Release{Major: 6, Minor: 18, Patch: 44, Text: "6.18.44-fc-v657"}, PageSize: 4096, CPUs: 2,
		BootID: "0f2c9c2e-6d3c-4c11-9f5e-2f0e9b1b7a10",
		Total:  oom.Of(24684092 * kib), Free: oom.Of(24318872 * kib), Available: oom.Of(24310452 * kib),
		SwapTotal: oom.Of(4194300 * kib), SwapFree: oom.Of(4194000 * kib),
		ActiveFile: oom.Of(27172 * kib), InactiveFile: oom.Of(62836 * kib),
		KReclaimable: oom.Of(149653 * kib), SReclaimable: oom.Of(149652 * kib), Hugepages: oom.Of(0),
		OOMKills: oom.Of(17), PanicOnOOM: oom.Of(0), KillAllocatingTask: oom.Of(1), Overcommit: oom.Of(2), Swappiness: oom.Of(60),
		Zones: parseZoneinfo(archived(t, "zoneinfo"), 4096),
	}
	f := open4k(t, hostTree(t))
	for range 2 { // the second time with used buffers.
		got, err := f.Node()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, amounts); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// TestNodeMemory wants what a sample of the node has, and stalls unset where the
// kernel does not measure them.
func TestNodeMemory(t *testing.T) {
	root := hostTree(t)
	f := open4k(t, root)
	for text, want := range map[string]oom.Amount{
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=567\n": oom.Of(567),
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\n":                                                   {},
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=-1\n":     {},
		"\x00\xff some": {},
		"":              {},
	} {
		write(t, filepath.Join(root, "pressure/memory"), text)
		var got oom.Sample
		if err := f.NodeMemory(&got); err != nil {
			t.Fatal(err)
		}
		if got.StalledMicros != want || got.Limit != oom.Of(24684092*1024) {
			t.Errorf("%q: stalled %v of %v, want %v", text, got.StalledMicros, got.Limit, want)
		}
	}
	remove(t, filepath.Join(root, "pressure"))
	var got oom.Sample
	if err := f.NodeMemory(&got); err != nil || got.StalledMicros.IsSet() {
		t.Errorf("without pressure: %v, %v", got.StalledMicros, err)
	}
}

// TestNodeBare wants unset, never 0, for all that a kernel does not have.
func TestNodeBare(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "meminfo"), "MemTotal: 10 kB\n")
	if err := os.Mkdir(filepath.Join(root, "zoneinfo"), 0o755); err != nil { // unreadable, for root too.
		t.Fatal(err)
	}
	got, err := open4k(t, root).Node()
	want := oom.Node{PageSize: 4096, Total: oom.Of(10240)}
	if diff := cmp.Diff(want, got, amounts); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestNodeNoMeminfo(t *testing.T) {
	root := hostTree(t)
	remove(t, filepath.Join(root, "meminfo"))
	if n, err := open4k(t, root).Node(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), root) {
		t.Errorf("Node = %+v, %v, want an error about meminfo", n, err)
	}
}

// TestNodeLarge reads a file that is larger than the first buffer.
func TestNodeLarge(t *testing.T) {
	root := hostTree(t)
	zones := string(archived(t, "zoneinfo"))
	write(t, filepath.Join(root, "zoneinfo"), zones+strings.Repeat("              count:    0\n", 20_000))
	n, err := open4k(t, root).Node()
	if err != nil || len(n.Zones) != 4 {
		t.Errorf("got %d zones, %v, want 4", len(n.Zones), err)
	}
}

func TestOOMKills(t *testing.T) {
	root := hostTree(t)
	path := filepath.Join(root, "vmstat")
	f := open4k(t, root)
	far := strings.Repeat("pgfault 12345678\n", 700)
	for _, c := range []struct {
		content string
		want    oom.Amount
	}{
		{"pgfault 1\noom_kill 3\n", oom.Of(3)},
		{far + "oom_kill 4\n" + far, oom.Of(4)},
		{"pgfault 1\n", oom.Amount{}},
		{"", oom.Amount{}},
		{strings.Repeat(far, 9), oom.Amount{}},
	} {
		write(t, path, c.content)
		if got, err := f.OOMKills(); err != nil || got != c.want {
			t.Errorf("OOMKills = %v, %v, want %v", got, err, c.want)
		}
	}
	write(t, path+".new", "oom_kill 5\n")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if got, err := f.OOMKills(); err != nil || got != oom.Of(5) {
		t.Errorf("after a rename: OOMKills = %v, %v, want 5", got, err)
	}
	remove(t, path)
	if got, err := f.OOMKills(); !errors.Is(err, fs.ErrNotExist) || got.IsSet() {
		t.Errorf("without a file: OOMKills = %v, %v, want ErrNotExist", got, err)
	}
}

func TestHidepid(t *testing.T) {
	root := hostTree(t)
	f := open4k(t, root)
	if f.Hidepid() {
		t.Error("a tree that may be read says that processes are hidden")
	}
	remove(t, filepath.Join(root, "1"))
	if f.Hidepid() {
		t.Error("plain files without process 1 say that processes are hidden")
	}
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	if err := os.Mkdir(filepath.Join(root, "1"), 0o000); err != nil {
		t.Fatal(err)
	}
	if !f.Hidepid() {
		t.Error("process 1 may not be read, and that does not show")
	}
}

func TestCloseGivesBack(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	for range 20 {
		f, err := New(Options{Root: "/proc"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Node(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Scan(nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.Exact(&oom.Process{PID: int32(unix.Getpid())}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

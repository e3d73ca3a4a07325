// SPDX-License-Identifier: Apache-2.0

package kernfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
)

// cgroupsOf returns what the library makes of a text of /proc/PID/cgroup.
func cgroupsOf(tb testing.TB, text string) []procfs.Cgroup {
	tb.Helper()
	root := tb.TempDir()
	if err := os.Mkdir(filepath.Join(root, "7"), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "7/cgroup"), []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
	lib, err := procfs.NewFS(root)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := lib.Proc(7)
	if err != nil {
		tb.Fatal(err)
	}
	of, err := p.Cgroups()
	if err != nil {
		return nil
	}
	return of
}

func TestMemoryCgroup(t *testing.T) {
	for name, c := range map[string]struct{ text, v1, v2 string }{
		"v2":                     {"0::/system.slice/x.service\n", "", "/system.slice/x.service"},
		"v1":                     {"9:memory:/a\n1:name=systemd:/b\n", "/a", ""},
		"both":                   {"0::/c\n9:memory:/a\n", "/a", "/c"},
		"several controllers":    {"4:cpu,memory,cpuacct:/a\n", "/a", ""},
		"memory is on v2":        {"4:cpu,cpuacct:/a\n0::/c\n", "", "/c"},
		"a colon in the name":    {"9:memory:/d:e\n0::/system.slice:docker:x\n", "/d:e", "/system.slice:docker:x"},
		"outside the namespace":  {"0::/../../x\n", "", "/../../x"},
		"a name like controller": {"1:name=memory:/a\n", "", ""},
		"another number":         {"1::/a\n", "", ""},
		"no path":                {"0::\n3:memory:\n", "", ""},
		"garbage":                {"\x00\xff:\n::\n", "", ""},
		"empty":                  {"", "", ""},
	} {
		if got := MemoryCgroup(cgroupsOf(t, c.text), false); got != c.v1 {
			t.Errorf("%s, v1: %q, want %q", name, got, c.v1)
		}
		if got := MemoryCgroup(cgroupsOf(t, c.text), true); got != c.v2 {
			t.Errorf("%s, v2: %q, want %q", name, got, c.v2)
		}
	}
}

func FuzzMemoryCgroup(f *testing.F) {
	f.Add([]byte("9:memory:/a\n1:name=systemd:/b\n0::/c\n"), false)
	f.Add([]byte("0::/a:b\n\n:"), true)
	f.Fuzz(func(t *testing.T, b []byte, unified bool) {
		path := MemoryCgroup(cgroupsOf(t, string(b)), unified)
		if path != "" && path[0] != '/' || strings.Contains(path, "\n") || !strings.Contains(string(b), path) {
			t.Errorf("%q: %q", b, path)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hier writes the root of a v1 or v2 memory hierarchy.
func hier(t *testing.T, dir string, version int) {
	t.Helper()
	if version == 2 {
		put(t, dir+"/cgroup.controllers", "cpuset memory pids\n")
		put(t, dir+"/memory.stat", "anon 0\n")
		return
	}
	put(t, dir+"/memory.usage_in_bytes", "0\n")
}

// mountLine is a line of mountinfo.
func mountLine(root, point, fstype, options string) string {
	escape := strings.NewReplacer(" ", `\040`, `\`, `\134`)
	return fmt.Sprintf("36 35 0:31 %s %s rw,relatime shared:5 - %s none rw,%s\n",
		escape.Replace(root), escape.Replace(point), fstype, options)
}

// mountsOf returns the cgroup mounts of a text of mountinfo.
func mountsOf(t testing.TB, text string) []mount {
	t.Helper()
	dir := t.TempDir()
	put(t, dir+"/self/mountinfo", text)
	table, err := openProc(dir).GetMounts()
	if err != nil {
		return nil
	}
	return cgroupMounts(table)
}

func TestCgroupMounts(t *testing.T) {
	f := func(in string, want ...mount) {
		t.Helper()
		if d := cmp.Diff(want, mountsOf(t, in), cmp.AllowUnexported(mount{})); d != "" {
			t.Errorf("%q: %s", in, d)
		}
	}
	f("35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n",
		mount{"/", "/sys/fs/cgroup/memory", "cgroup", map[string]string{"rw": "", "memory": ""}})
	f("35 31 0:32 /docker/ab /sys/fs/cgroup/cpu,memory rw,relatime shared:9 master:3 - cgroup cgroup rw,cpu,memory\n",
		mount{"/docker/ab", "/sys/fs/cgroup/cpu,memory", "cgroup", map[string]string{"rw": "", "cpu": "", "memory": ""}})
	f("22 1 8:1 / / rw - ext4 /dev/sda1 rw,memory\n30 22 0:26 / /mnt/a\\040b\\134c rw - cgroup2 none rw\n",
		mount{"/", `/mnt/a b\c`, "cgroup2", map[string]string{"rw": ""}})
	f("")
	f("garbage\n - \n35 31 0:32 / /x rw - cgroup\n35 31 - cgroup cgroup rw,memory\n")
}

func FuzzCgroupMounts(f *testing.F) {
	f.Add([]byte("35 31 0:32 /a\\040b /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range mountsOf(t, string(b)) {
			if m.fstype != "cgroup" && m.fstype != "cgroup2" {
				t.Errorf("%q: %+v", b, m)
			}
			if len(m.point) > len(b) || len(m.options) == 0 {
				t.Errorf("%q: %+v", b, m)
			}
		}
	})
}

func TestFind(t *testing.T) {
	tests := map[string]struct {
		setup   func(t *testing.T, dir string)
		version int
		mount   string // below the test's directory.
	}{
		"v2": {func(t *testing.T, d string) {
			hier(t, d+"/sys/fs/cgroup", 2)
		}, 2, "/sys/fs/cgroup"},
		"v1": {func(t *testing.T, d string) {
			hier(t, d+"/sys/fs/cgroup/memory", 1)
		}, 1, "/sys/fs/cgroup/memory"},
		"v1 with memory.stat only": {func(t *testing.T, d string) {
			put(t, d+"/sys/fs/cgroup/memory/memory.stat", "total_rss 1\n")
		}, 1, "/sys/fs/cgroup/memory"},
		"v1 mounted together": {func(t *testing.T, d string) {
			put(t, d+"/sys/fs/cgroup/cpu,cpuacct/cpu.shares", "1024\n")
			hier(t, d+"/sys/fs/cgroup/cpu,memory", 1)
		}, 1, "/sys/fs/cgroup/cpu,memory"},
		"hybrid with memory on v2": {func(t *testing.T, d string) {
			put(t, d+"/sys/fs/cgroup/pids/cgroup.procs", "")
			hier(t, d+"/sys/fs/cgroup/unified", 2)
		}, 2, "/sys/fs/cgroup/unified"},
		"old odd place": {func(t *testing.T, d string) {
			hier(t, d+"/dev/cgroup/my memory", 1)
			put(t, d+"/proc/self/mountinfo", mountLine("/", "/sys", "sysfs", "rw")+
				mountLine("/", d+"/dev/cgroup/cpu", "cgroup", "cpu")+
				mountLine("/", d+"/dev/cgroup/my memory", "cgroup", "memory"))
		}, 1, "/dev/cgroup/my memory"},
		"a mount table that cannot be parsed": {func(t *testing.T, d string) {
			put(t, d+"/proc/self/mountinfo", "36 35 garbage\n")
			hier(t, d+"/sys/fs/cgroup", 2)
		}, 2, "/sys/fs/cgroup"},
		"v2 at an odd place": {func(t *testing.T, d string) {
			hier(t, d+"/cgroup2", 2)
			put(t, d+"/proc/self/mountinfo", mountLine("/", d+"/cgroup2", "cgroup2", "nsdelegate"))
		}, 2, "/cgroup2"},
		// In a container: the host's below Sysfs, and our own, which is a part.
		"host's before own": {func(t *testing.T, d string) {
			hier(t, d+"/own", 1)
			hier(t, d+"/sys/odd", 1)
			put(t, d+"/proc/self/mountinfo", mountLine("/docker/1", d+"/own", "cgroup", "memory")+
				mountLine("/", d+"/sys/odd", "cgroup", "memory"))
		}, 1, "/sys/odd"},
		"whole before part": {func(t *testing.T, d string) {
			hier(t, d+"/part", 1)
			hier(t, d+"/whole", 1)
			put(t, d+"/proc/self/mountinfo", mountLine("/docker/1", d+"/part", "cgroup", "memory")+
				mountLine("/", d+"/whole", "cgroup", "memory"))
		}, 1, "/whole"},
		"/sys is Sysfs": {func(t *testing.T, d string) {
			hier(t, d+"/sys/fs/odd", 1)
			put(t, d+"/proc/1/mountinfo", mountLine("/", "/sys/fs/odd", "cgroup", "memory"))
		}, 1, "/sys/fs/odd"},
		"through pid 1": {func(t *testing.T, d string) {
			hier(t, d+"/proc/1/root/dev/cgroup/memory", 1)
			put(t, d+"/proc/1/mountinfo", mountLine("/", "/dev/cgroup/memory", "cgroup", "memory"))
		}, 1, "/proc/1/root/dev/cgroup/memory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.setup(t, dir)
			h, err := Find(options(dir, 0))
			if err != nil {
				t.Fatal(err)
			}
			if h.Version() != tt.version || h.Mount() != dir+tt.mount {
				t.Errorf("found v%d at %s", h.Version(), h.Mount())
			}
		})
	}
}

// A container that sees the host's /sys must not fall back to its own.
func TestFindKeepsToSysfs(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/proc/self/mountinfo", mountLine("/", "/sys/fs/cgroup/memory", "cgroup", "memory"))
	if h, err := Find(options(dir, 0)); err == nil {
		t.Errorf("found %s", h.Mount())
	}
}

func TestFindSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/sys/fs/cgroup/cgroup.controllers", "cpu io pids\n")
	put(t, dir+"/proc/self/mountinfo", mountLine("/", "/sys/fs/cgroup", "cgroup2", "nsdelegate"))
	_, err := Find(options(dir, 0))
	if !errors.Is(err, ErrNoHierarchy) {
		t.Fatalf("error is %v", err)
	}
	for _, want := range []string{
		dir + "/sys/fs/cgroup", `no memory controller (it has "cpu io pids")`, dir + "/proc/self/mountinfo",
		"cgroup_enable=memory", "--path.sysfs",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

func TestReadAfterUnmount(t *testing.T) {
	dir, mount := rootV1(t)
	h := mustFind(t, options(dir, 0))
	if err := os.RemoveAll(mount); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Read(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), mount) {
		t.Errorf("error is %v", err)
	}
}

func TestScopeOf(t *testing.T) {
	tests := []struct {
		version int
		local   bool
		release string
		want    scope
	}{
		{2, false, "5.1.21", scopeOwn},
		{2, false, "5.2.0", scopeTree},
		{2, false, "6.12.48+deb13-amd64", scopeTree},
		{2, true, "6.12.48+deb13-amd64", scopeOwn},
		{2, false, "", scopeOwn},
		{1, false, "3.10.0-1160.el7.x86_64", scopeOwn},
		{1, false, "4.19.0-27-amd64", scopeOwn},
		{1, false, "5.4.0-150-generic", scopeMaybeTree},
		{1, false, "5.6.19", scopeMaybeTree},
		{1, false, "5.7.1", scopeOwn},
		{1, false, "6.18.44", scopeOwn},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		hier(t, dir+map[int]string{1: "/sys/fs/cgroup/memory", 2: "/sys/fs/cgroup"}[tt.version], tt.version)
		put(t, dir+"/proc/sys/kernel/osrelease", tt.release+"\n")
		if tt.local {
			put(t, dir+"/proc/1/mountinfo", mountLine("/", "/sys/fs/cgroup", "cgroup2", "memory_localevents"))
		}
		if h := mustFind(t, options(dir, 0)); h.scope != tt.want {
			t.Errorf("v%d %q local %v: scope is %d, want %d", tt.version, tt.release, tt.local, h.scope, tt.want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// inCgroup makes a process, this one, whose /proc/PID/cgroup has the text.
func inCgroup(t *testing.T, dir, text string) {
	t.Helper()
	put(t, dir+"/proc/7/cgroup", text)
	if err := os.Symlink("7", dir+"/proc/self"); err != nil {
		t.Fatal(err)
	}
}

func TestOwnLimitV2(t *testing.T) {
	for name, c := range map[string]struct {
		cgroup string
		limits map[string]string // memory.max by path.
		want   oom.Amount
	}{
		"its own":                {"0::/a/b\n", map[string]string{"/a": "max", "/a/b": "64"}, oom.Of(64)},
		"its parent's":           {"0::/a/b\n", map[string]string{"/a": "32", "/a/b": "64"}, oom.Of(32)},
		"none":                   {"0::/a/b\n", map[string]string{"/a": "max", "/a/b": "max"}, oom.Amount{}},
		"the namespace's root":   {"0::/\n", map[string]string{"": "16", "/a": "8"}, oom.Of(16)},
		"the host's root":        {"0::/\n", map[string]string{"/a": "8"}, oom.Amount{}},
		"no cgroup namespace":    {"0::/docker/0123\n", map[string]string{"": "16"}, oom.Of(16)},
		"not enabled":            {"0::/a/b\n", map[string]string{"/a": "32", "/a/b": ""}, oom.Of(32)},
		"beside its namespace":   {"0::/../b\n", map[string]string{"": "16"}, oom.Of(16)},
		"a hierarchy without it": {"1:name=systemd:/a\n", map[string]string{"/a": "8"}, oom.Amount{}},
	} {
		dir, mount := rootV2(t)
		for path, limit := range c.limits {
			put(t, mount+path+"/cgroup.procs", "")
			if limit != "" {
				put(t, mount+path+"/memory.stat", "anon 0\n")
				put(t, mount+path+"/memory.max", limit+"\n")
			}
		}
		inCgroup(t, dir, c.cgroup)
		if got, err := OwnLimit(options(dir, 0)); got != c.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestOwnLimitV1(t *testing.T) {
	for limit, want := range map[string]oom.Amount{"67108864": oom.Of(64 * mi), "9223372036854771712": {}} {
		dir, mount := rootV1(t)
		groupV1(t, mount+"/a", 0)
		put(t, mount+"/a/memory.max_usage_in_bytes", "0\n")
		put(t, mount+"/a/memory.stat", "cache 0\nhierarchical_memory_limit "+limit+"\n")
		inCgroup(t, dir, "4:memory:/a\n0::/\n")
		if got, err := OwnLimit(options(dir, 0)); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", limit, got, err, want)
		}
	}
}

func TestOwnLimitUnknown(t *testing.T) {
	dir, _ := rootV2(t)
	if got, err := OwnLimit(options(dir, 0)); got.IsSet() || err == nil {
		t.Errorf("without /proc/self: %v, %v", got, err)
	}
	if got, err := OwnLimit(options(t.TempDir(), 0)); got.IsSet() || err == nil {
		t.Errorf("without a hierarchy: %v, %v", got, err)
	}
}

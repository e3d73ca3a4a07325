// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestCgroup(t *testing.T) {
	root := hostTree(t)
	f := open4k(t, root)
	for name, c := range map[string]struct{ text, want string }{
		"v2":                     {"0::/system.slice/x.service\n", "/system.slice/x.service"},
		"v1":                     {"9:memory:/a\n1:name=systemd:/b\n0::/c\n", "/a"},
		"v1, v2 first":           {"0::/c\n9:memory:/a\n", "/a"},
		"v1, several":            {"4:cpu,memory,cpuacct:/a\n", "/a"},
		"memory is on v2":        {"4:cpu,cpuacct:/a\n0::/c\n", "/c"},
		"a colon in the name":    {"0::/system.slice:docker:x\n", "/system.slice:docker:x"},
		"outside the namespace":  {"0::/../../x\n", "/../../x"},
		"a name like controller": {"1:name=memory:/a\n", ""},
		"no path":                {"0::\n", ""},
		"garbage":                {"\x00\xff:\n::\n", ""},
		"empty":                  {"", ""},
	} {
		write(t, filepath.Join(root, "4242/cgroup"), c.text)
		got, err := f.Cgroup(4242)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
	if _, err := f.Cgroup(4243); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a process that is gone: %v", err)
	}
}

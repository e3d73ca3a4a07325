// SPDX-License-Identifier: Apache-2.0

package proc

import "testing"

func TestMemoryCgroup(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"v2":                     {"0::/system.slice/x.service\n", "/system.slice/x.service"},
		"v1":                     {"9:memory:/a\n1:name=systemd:/b\n0::/c\n", "/a"},
		"v1, v2 first":           {"0::/c\n9:memory:/a\n", "/a"},
		"v1, several":            {"4:cpu,memory,cpuacct:/a\n", "/a"},
		"memory is on v2":        {"4:cpu,cpuacct:/a\n0::/c\n", "/c"},
		"a colon in the name":    {"0::/system.slice:docker:x\n", "/system.slice:docker:x"},
		"outside the namespace":  {"0::/../../x\n", "/../../x"},
		"a name like controller": {"1:name=memory:/a\n", ""},
		"cut":                    {"0::/system.sl", ""},
		"no path":                {"0::\n", ""},
		"garbage":                {"\x00\xff:\n::\n", ""},
		"empty":                  {"", ""},
	} {
		if got := memoryCgroup([]byte(c.text)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

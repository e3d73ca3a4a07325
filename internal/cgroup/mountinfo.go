// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"strings"

	"github.com/prometheus/procfs"
)

// mount is what mountinfo says about a mount of a cgroup hierarchy.
type mount struct {
	root    string // which part of the file system is mounted, "/" for all of it.
	point   string // where, as the process sees it.
	fstype  string
	options map[string]string // of the super block.
}

func (m mount) has(option string) bool {
	_, ok := m.options[option]
	return ok
}

// cgroupMounts picks the cgroup mounts out of a mount table.
func cgroupMounts(table []*procfs.MountInfo) []mount {
	var mounts []mount
	for _, m := range table {
		if m.FSType == "cgroup" || m.FSType == "cgroup2" {
			mounts = append(mounts, mount{root: unescape(m.Root), point: unescape(m.MountPoint), fstype: m.FSType, options: m.SuperOptions})
		}
	}
	return mounts
}

// unescape undoes the kernel's mangle_path, which the library does not: space,
// tab, newline and backslash are a backslash with three octal digits.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] <= '3' && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

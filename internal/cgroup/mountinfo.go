// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"slices"
	"strings"
)

// mount is what a line of mountinfo says about a mount; see proc_pid_mountinfo(5).
type mount struct {
	root    string // what of the file system is mounted, "/" for all of it.
	point   string // where, as the process sees it.
	fstype  string
	options []string // of the super block.
}

func (m mount) has(option string) bool { return slices.Contains(m.options, option) }

// parseMountinfo returns the cgroup mounts of a mountinfo file; lines that are
// cut or strange are left out.
func parseMountinfo(b []byte) []mount {
	var mounts []mount
	for line := range bytes.Lines(b) {
		if m, ok := parseMount(string(line)); ok && (m.fstype == "cgroup" || m.fstype == "cgroup2") {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// parseMount reads "36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root
// rw,errors=continue"; the number of fields before the dash varies.
func parseMount(line string) (mount, bool) {
	head, tail, ok := strings.Cut(line, " - ")
	before, after := strings.Fields(head), strings.Fields(tail)
	if !ok || len(before) < 6 || len(after) < 3 {
		return mount{}, false
	}
	return mount{
		root:    unescape(before[3]),
		point:   unescape(before[4]),
		fstype:  after[0],
		options: strings.Split(after[2], ","),
	}, true
}

// unescape undoes the kernel's mangle_path: space, tab, newline and backslash
// are a backslash with three octal digits.
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

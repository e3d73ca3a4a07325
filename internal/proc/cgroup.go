// SPDX-License-Identifier: Apache-2.0

package proc

import "bytes"

// parseCgroup returns the memory cgroup out of /proc/PID/cgroup:
//
//	9:memory:/kubepods/burstable
//	1:name=systemd:/kubepods/burstable
//	0::/kubepods/burstable
//
// It is that of the v1 hierarchy with the memory controller where there is one,
// else that of v2. A name can't hold a newline, but may hold colons.
func parseCgroup(b []byte) (path string, ok bool) {
	for len(b) > 0 {
		line, whole := cutLine(&b)
		_, line, found := bytes.Cut(line, []byte(":"))
		controllers, name, found2 := bytes.Cut(line, []byte(":"))
		if !whole || !found || !found2 || len(name) == 0 || name[0] != '/' {
			continue
		}
		if len(controllers) == 0 && !ok {
			path, ok = string(name), true
		}
		for c := range bytes.SplitSeq(controllers, []byte(",")) {
			if string(c) == "memory" {
				return string(name), true
			}
		}
	}
	return path, ok
}

// SPDX-License-Identifier: Apache-2.0

// Package kernfs parses what several readers of the kernel's files need.
package kernfs

import "bytes"

// MemoryCgroup returns the memory cgroup out of /proc/PID/cgroup as it is seen from
// the reader's cgroup namespace; empty where there is none.
//
//	9:memory:/kubepods/burstable
//	1:name=systemd:/kubepods/burstable
//	0::/kubepods/burstable
//
// With unified it is that of cgroup v2, else that of the v1 hierarchy with the
// memory controller. A name can't hold a newline, but may hold colons.
func MemoryCgroup(b []byte, unified bool) string {
	for {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return ""
		}
		b = rest
		number, line, ok := bytes.Cut(line, []byte(":"))
		controllers, path, ok2 := bytes.Cut(line, []byte(":"))
		if !ok || !ok2 || len(path) == 0 || path[0] != '/' {
			continue
		}
		if unified && string(number) == "0" && len(controllers) == 0 || !unified && hasMemory(controllers) {
			return string(path)
		}
	}
}

func hasMemory(controllers []byte) bool {
	for c := range bytes.SplitSeq(controllers, []byte(",")) {
		if string(c) == "memory" {
			return true
		}
	}
	return false
}

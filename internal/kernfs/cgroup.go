// SPDX-License-Identifier: Apache-2.0

// Package kernfs interprets what several readers take from the kernel's files.
package kernfs

import (
	"slices"
	"strings"

	"github.com/prometheus/procfs"
)

// MemoryCgroup returns the path of the memory cgroup from /proc/PID/cgroup, as
// seen in the reader's cgroup namespace; empty where there is none.
//
//	9:memory:/kubepods/burstable
//	1:name=systemd:/kubepods/burstable
//	0::/kubepods/burstable
//
// With unified it is that of cgroup v2, else that of the v1 hierarchy with the
// memory controller.
func MemoryCgroup(of []procfs.Cgroup, unified bool) string {
	for _, c := range of {
		wanted := slices.Contains(c.Controllers, "memory")
		if unified {
			wanted = c.HierarchyID == 0 && len(c.Controllers) == 0
		}
		if wanted && strings.HasPrefix(c.Path, "/") {
			return c.Path
		}
	}
	return ""
}

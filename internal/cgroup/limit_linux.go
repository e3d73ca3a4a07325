// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Limit reads the limit of this very group on v1, and how often it was hit. It
// is asked after each kill, for the victim's group and those above it. On v2
// both stay unset: the group's own count of OOMs tells more.
func (h *Hierarchy) Limit(id oom.GroupID) (limit, hits oom.Amount) {
	if h.Version() != 1 {
		return limit, hits
	}
	dir, err := unix.Open(h.Mount()+id.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return limit, hits
	}
	defer func() { _ = unix.Close(dir) }()
	var st unix.Stat_t
	if unix.Fstat(dir, &st) != nil || st.Ino != id.Inode {
		return limit, hits // another group that has the name now.
	}
	var buf [64]byte
	if b, errno := readAt(dir, fileNames[v1Limit], buf[:]); errno == 0 {
		limit = parseLimitV1(b, h.pageSize)
	}
	if b, errno := readAt(dir, fileNames[v1Failcnt], buf[:]); errno == 0 {
		hits = parseNumber(b)
	}
	return limit, hits
}

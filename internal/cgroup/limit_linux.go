// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Limit reads the limit of this very group on v1, and how often it was hit. It
// is called after each kill, for the victim's group and those above it. On v2
// both stay unset: the group's own count of OOMs tells more.
func (h *Hierarchy) Limit(id oom.GroupID) (limit, hits oom.Amount) {
	if h.Version() != 1 {
		return limit, hits
	}
	dir, ok := h.openExact(id)
	if !ok {
		return limit, hits
	}
	defer func() { _ = unix.Close(dir) }()
	var buf [64]byte
	if b, errno := readAt(dir, files[v1Limit].name, buf[:]); errno == 0 {
		limit = parseLimitV1(b, h.pageSize)
	}
	if b, errno := readAt(dir, files[v1Failcnt].name, buf[:]); errno == 0 {
		hits = parseNumber(b)
	}
	return limit, hits
}

// Kills reads this very group's own kill count on v1, for groups that the log has
// named. It is unset where the group is gone, and where only reading all groups
// would tell its own kills from those of its children.
func (h *Hierarchy) Kills(id oom.GroupID) (kills oom.Amount) {
	if h.Version() != 1 || !h.countsOwn() {
		return kills
	}
	dir, ok := h.openExact(id)
	if !ok {
		return kills
	}
	defer func() { _ = unix.Close(dir) }()
	var buf [128]byte
	if b, errno := readAt(dir, files[v1OOMControl].name, buf[:]); errno == 0 {
		_, _, kills = parseOOMControl(b)
	}
	return kills
}

// countsOwn tells whether a group's counters leave out its descendants.
func (h *Hierarchy) countsOwn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.scope == scopeOwn
}

// openExact opens this very group; another one may have its name by now.
func (h *Hierarchy) openExact(id oom.GroupID) (dir int, ok bool) {
	dir, err := unix.Open(h.Mount()+id.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, false
	}
	var st unix.Stat_t
	if unix.Fstat(dir, &st) != nil || st.Ino != id.Inode {
		_ = unix.Close(dir)
		return -1, false
	}
	return dir, true
}

// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The offsets of the fields of struct victim; see src/victims.bpf.c.
const (
	atBootNS      = 0
	atCgroupID    = 8
	atTotalVM     = 16
	atRSS         = 24 // file, anon, swap, shmem.
	atPageTables  = 56
	atPID         = 64
	atTGID        = 68
	atUID         = 72
	atTriggerPID  = 76
	atAdj         = 80
	atTriggerAdj  = 82
	atFlags       = 84
	atComm        = 88
	atTriggerComm = 104
	atNames       = 120
)

const (
	commBytes   = 16
	pathIsWhole = 1 // a bit of the flags.
)

// errShort says that a record does not have all fields.
var errShort = errors.New("short record")

// clock turns the kernel's time since boot into wall-clock time.
type clock struct {
	now      time.Time
	boot     time.Duration // at that time.
	pageSize uint64
}

// decode reads one record of the ring.
func (c clock) decode(b []byte) (oom.Sighting, error) {
	if len(b) < atNames {
		return oom.Sighting{}, fmt.Errorf("%w: %d bytes", errShort, len(b))
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	adj := func(at int) int { return int(int16(binary.LittleEndian.Uint16(b[at:]))) }
	pages := func(at int) oom.Amount {
		n := max(int64(u64(at)), 0) // a per-CPU counter may read below zero.
		return oom.Of(uint64(n) * c.pageSize)
	}
	s := oom.Sighting{
		By:       oom.ByBPF,
		Time:     c.now.Add(time.Duration(u64(atBootNS)) - c.boot),
		CgroupID: u64(atCgroupID),
		Victim: oom.Victim{
			PID: int(u32(atPID)), TGID: int(u32(atTGID)), Comm: text(b[atComm : atComm+commBytes]), UID: oom.Of(uint64(u32(atUID))),
			TotalVM: pages(atTotalVM), FileRSS: pages(atRSS), AnonRSS: pages(atRSS + 8), Swap: pages(atRSS + 16), ShmemRSS: pages(atRSS + 24),
			PageTables: oom.Of(u64(atPageTables)), Adj: adj(atAdj), AdjKnown: true,
		},
		Trigger: &oom.Trigger{
			PID: int(u32(atTriggerPID)), Comm: text(b[atTriggerComm : atTriggerComm+commBytes]), Adj: adj(atTriggerAdj),
		},
	}
	if u32(atFlags)&pathIsWhole != 0 {
		s.Path = path(b[atNames:])
	}
	return s, nil
}

// text returns b up to its first NUL.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// path joins the names of a cgroup and of those above it, each ending in NUL,
// into a path.
func path(names []byte) string {
	all := strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00")
	slices.Reverse(all)
	return "/" + strings.Join(all, "/")
}

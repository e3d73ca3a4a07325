// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// memory.stat counts slab objects as reclaimable by their cache, but a dentry in
// use is not: files in a tmpfs keep theirs, with their names, for as long as they
// live, while those of files on a disk are freed under pressure. No file of a
// cgroup tells the two apart. /proc/sys/fs/dentry-state does, for the machine: its
// first two numbers are all dentries, and those not in use.
//
//	143765	142332	45	0	19490	0
//
// What a cgroup's slab grows by while the machine's dentries in use rise is
// pinned. What was there before the first pass may be: it is taken to be pinned
// when the cgroup hits its limit and reclaim does not free it.
const (
	// bytesPinned is the most slab that one dentry in use stands for: itself, a
	// long name, and a node of the file's page tree.
	bytesPinned = 1024
	// bytesDoubted is the same for a dentry that was in use before the first
	// pass: itself and a long name.
	bytesDoubted = 512
	// nearLimit: with 1/64 of a limit or less left, reclaim must be at work.
	nearLimit = 64
	// shrunk: if a hit frees at least 1/16 of the slab, the rest is taken to be
	// reclaimable, too, where there is no dentry-state.
	shrunk = 16
)

// parseDentryState returns the number of dentries in use.
func parseDentryState(b []byte) oom.Amount {
	all, rest, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\t"))
	unused, _, found := bytes.Cut(rest, []byte("\t"))
	n, ok := parseUint(all)
	free, ok2 := parseUint(unused)
	if !found || !ok || !ok2 {
		return oom.Amount{}
	}
	return oom.Of(n - min(n, free))
}

// slabReading is what one pass saw of a cgroup's slab.
type slabReading struct {
	bytes    uint64     // slab_reclaimable.
	dentries oom.Amount // of the machine, in use.
	machine  uint64     // slab_reclaimable of the root: of the whole machine.
	hits     uint64     // of the cgroup's own limit.
	ooms     uint64     // hits after which reclaim has failed.
	near     bool       // hardly anything is left of the limit.
}

// slab is what is known of a cgroup's reclaimable slab over the passes.
type slab struct {
	known    bool
	last     slabReading
	pinned   uint64 // seen to be in use.
	doubtful uint64 // was there before the first pass: may be in use.
}

// update takes the next reading and returns how much of the slab the kernel cannot
// reclaim.
func (s *slab) update(now slabReading) uint64 {
	last, known := s.last, s.known
	s.last, s.known = now, true
	inUse, tells := now.dentries.Get()
	if !known {
		s.doubtful = now.bytes
		if tells {
			s.doubtful = min(now.bytes, inUse*bytesDoubted)
		}
		return 0
	}
	hit := now.hits > last.hits
	switch {
	case now.ooms > last.ooms: // the kernel tried its best.
		s.pinned, s.doubtful = now.bytes, 0
	case !tells:
		s.guessByHits(last.bytes, now.bytes, hit)
	default:
		s.followDentries(last, now)
		if (hit || now.near) && now.bytes >= last.bytes {
			s.pinned, s.doubtful = s.pinned+s.doubtful, 0
		}
	}
	if s.pinned = min(s.pinned, now.bytes); tells {
		s.pinned = min(s.pinned, inUse*bytesPinned)
	}
	s.doubtful = min(s.doubtful, now.bytes-s.pinned)
	return s.pinned
}

// followDentries lets pinned rise where both the cgroup's slab and the machine's dentries
// in use have risen, and fall where both have fallen. The more the slab of others
// has changed meanwhile, the smaller the cgroup's share of these dentries.
func (s *slab) followDentries(last, now slabReading) {
	before, ok := last.dentries.Get()
	if !ok {
		return
	}
	inUse := now.dentries.Or(0)
	own := int64(now.bytes) - int64(last.bytes)
	others := int64(now.machine) - int64(last.machine) - own
	if now.machine == 0 { // the root does not tell.
		others = 0
	}
	share := float64(abs(own)) / float64(max(1, abs(own)+abs(others)))
	switch {
	case own > 0 && inUse > before:
		s.pinned += min(uint64(own), uint64(share*float64(inUse-before)*bytesPinned))
	case own < 0 && inUse < before:
		s.pinned -= min(s.pinned, uint64(-own), uint64(share*float64(before-inUse)*bytesPinned))
	}
}

func abs(n int64) int64 { return max(n, -n) }

// guessByHits judges by the hits of the limit alone, without dentry-state.
func (s *slab) guessByHits(before, now uint64, hit bool) {
	switch {
	case hit && now >= before:
		s.pinned = now
	case hit && before-now >= before/shrunk:
		s.pinned = 0
	}
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// memory.stat counts slab objects as reclaimable by their cache, but a dentry in
// use is not: files of tmpfs keep theirs, with their names, for as long as they
// live, while those of files on a disk are freed under pressure. No file of a
// cgroup tells the two apart. /proc/sys/fs/dentry-state does, for the machine:
//
//	143765	142332	45	0	19490	0
//
// are all dentries, and those not in use. What a cgroup's slab grows by while
// the machine's dentries in use do is pinned; so is what stays when the cgroup
// hits its limit, which no reclaim has freed then, as far as it may have been
// there, in use, before the first pass.
const (
	// bytesPinned is the most slab that one dentry in use stands for: itself, a
	// long name, and a node of the file's page tree.
	bytesPinned = 1024
	// bytesDoubted is the most that one stands for which was there before the
	// first pass: a dentry with a long name.
	bytesDoubted = 512
	// nearLimit is the part of a limit that is left where reclaim is due.
	nearLimit = 64
	// shrunk is the part of the slab whose going under a hit shows, where no
	// dentry-state does, that the rest is no different.
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
	bytes     uint64     // slab_reclaimable.
	dentries  oom.Amount // of the machine, in use.
	everybody uint64     // slab_reclaimable of the root.
	hits      uint64     // of the cgroup's own limit.
	ooms      uint64     // of which reclaim was of no use.
	near      bool       // hardly anything is left of the limit.
}

// slab is what is known of a cgroup's reclaimable slab over the passes.
type slab struct {
	known  bool
	last   slabReading
	pinned uint64 // seen to be in use.
	doubt  uint64 // was there before the first pass, and may be in use.
}

// step takes the next reading and returns how much of the slab reclaim cannot
// free.
func (s *slab) step(now slabReading) uint64 {
	last, known := s.last, s.known
	s.last, s.known = now, true
	inUse, tells := now.dentries.Get()
	if !known {
		s.doubt = now.bytes
		if tells {
			s.doubt = min(now.bytes, inUse*bytesDoubted)
		}
		return 0
	}
	hit := now.hits > last.hits
	switch {
	case now.ooms > last.ooms: // the kernel tried its best.
		s.pinned, s.doubt = now.bytes, 0
	case !tells:
		s.guess(last.bytes, now.bytes, hit)
	default:
		s.follow(last, now)
		if (hit || now.near) && now.bytes >= last.bytes {
			s.pinned, s.doubt = s.pinned+s.doubt, 0
		}
	}
	if s.pinned = min(s.pinned, now.bytes); tells {
		s.pinned = min(s.pinned, inUse*bytesPinned)
	}
	s.doubt = min(s.doubt, now.bytes-s.pinned)
	return s.pinned
}

// follow lets pinned rise and fall by what the cgroup's slab and the machine's
// dentries in use have moved by together. The more the slab of others moved
// meanwhile, the smaller is the cgroup's share of the dentries.
func (s *slab) follow(last, now slabReading) {
	before, ok := last.dentries.Get()
	if !ok {
		return
	}
	inUse := now.dentries.Or(0)
	own := int64(now.bytes) - int64(last.bytes)
	others := int64(now.everybody) - int64(last.everybody) - own
	if now.everybody == 0 { // the root does not tell.
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

// guess goes by the hits alone.
func (s *slab) guess(before, now uint64, hit bool) {
	switch {
	case hit && now >= before:
		s.pinned = now
	case hit && before-now >= before/shrunk:
		s.pinned = 0
	}
}

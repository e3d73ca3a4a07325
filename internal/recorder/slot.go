// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"math"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// stamp is a time in milliseconds of uptime: steps of the wall clock mean nothing
// to it.
type stamp int64

func stampOf(uptime time.Duration) stamp { return stamp(uptime / time.Millisecond) }

// since returns the time from b to a, negative where b is the later one.
func (a stamp) since(b stamp) time.Duration { return time.Duration(a-b) * time.Millisecond }

// add returns the stamp that much later.
func (a stamp) add(d time.Duration) stamp { return a + stamp(d/time.Millisecond) }

// packed is an oom.Amount in 32 bits: 0 is unset, the largest is unlimited, else
// it is one more than the number, in whatever unit. Larger numbers are capped.
type packed uint32

const (
	packedUnlimited packed = math.MaxUint32
	packedMax              = packedUnlimited - 1
)

func pack(a oom.Amount, unit uint64) packed {
	switch n, ok := a.Get(); {
	case ok:
		return packed(min(n/unit, uint64(packedMax)-1)) + 1
	case a.IsUnlimited():
		return packedUnlimited
	}
	return 0
}

func (p packed) unpack(unit uint64) oom.Amount {
	switch p {
	case 0:
		return oom.Amount{}
	case packedUnlimited:
		return oom.Unlimited()
	}
	return oom.Of(uint64(p-1) * unit)
}

func (p packed) isValue() bool { return p != 0 && p != packedUnlimited }

// or returns the number, or another where there is none.
func (p packed) or(other float64) float64 {
	if !p.isValue() {
		return other
	}
	return float64(p - 1)
}

// The units of packed numbers: sizes in 4 KiB, stalls in milliseconds.
const (
	pages  = 4 << 10
	ones   = 1
	millis = 1000
)

// slot is an oom.Sample as the rings store it.
type slot struct {
	at                          stamp
	usage, limit, unreclaimable packed
	anon, shmem, file, kernel   packed
	hits, stalled, processes    packed
}

func slotOf(at stamp, s *oom.Sample) slot {
	return slot{
		at: at, usage: pack(s.Usage, pages), limit: pack(s.Limit, pages), unreclaimable: pack(s.Unreclaimable, pages),
		anon: pack(s.Anon, pages), shmem: pack(s.Shmem, pages), file: pack(s.File, pages), kernel: pack(s.Kernel, pages),
		hits: pack(s.LimitHits, ones), stalled: pack(s.StalledMicros, millis), processes: pack(s.Processes, ones),
	}
}

// sample returns the slot as a sample taken at that time.
func (v *slot) sample(at time.Time) oom.Sample {
	return oom.Sample{
		Time: at, Usage: v.usage.unpack(pages), Limit: v.limit.unpack(pages), Unreclaimable: v.unreclaimable.unpack(pages),
		Anon: v.anon.unpack(pages), Shmem: v.shmem.unpack(pages), File: v.file.unpack(pages), Kernel: v.kernel.unpack(pages),
		LimitHits: v.hits.unpack(ones), StalledMicros: v.stalled.unpack(millis), Processes: v.processes.unpack(ones),
	}
}

// isUsageAlone tells whether only usage and limit are known.
func (v *slot) isUsageAlone() bool { return *v == slot{at: v.at, usage: v.usage, limit: v.limit} }

// repeats tells whether v says nothing that an earlier slot did not say.
func (v *slot) repeats(earlier *slot) bool {
	if v.isUsageAlone() {
		return v.usage == earlier.usage && v.limit == earlier.limit
	}
	e := *earlier
	e.at = v.at
	return *v == e
}

// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"math"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Where the fields of struct numbers are, see src/cgroups.bpf.c.
const (
	atInode        = 0
	atParent       = 8
	atChildren     = 16
	atUsage        = 24
	atLimit        = 32
	atHigh         = 40
	atMin          = 48
	atPeak         = 56
	atHits         = 64
	atSwap         = 72
	atSwapLimit    = 80
	atMemsw        = 88
	atMemswLimit   = 96
	atKernel       = 104
	atEvents       = 112
	atLocalEvents  = 160
	atWaiting      = 208
	atStalled      = 216
	atCgroupFlags  = 224
	atSwappiness   = 228
	numbersBytes   = 232
	oomGroup       = 1 // of the flags.
	killDisabled   = 2
	underOOM       = 4
	hasKernel      = 8
	hasOOMControl  = 16
	hasSwappiness  = 32
	hasPressure    = 64
	eventHigh      = 1 // of the events.
	eventMax       = 2
	eventOOM       = 3
	eventKill      = 4
	eventGroupKill = 5
)

// decodeNumbers reads one cgroup. Sizes are in pages there.
func decodeNumbers(b []byte, pageSize uint64) oom.CgroupNumbers {
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	size := func(at int) oom.Amount { return oom.Of(uint64(max(int64(u64(at)), 0)) * pageSize) }
	limit := func(at int) oom.Amount {
		if u64(at) >= math.MaxInt64/pageSize { // PAGE_COUNTER_MAX.
			return oom.Unlimited()
		}
		return size(at)
	}
	events := func(at int) oom.Events {
		e := func(i int) oom.Amount { return oom.Of(u64(at + 8*i)) }
		return oom.Events{High: e(eventHigh), Max: e(eventMax), OOMs: e(eventOOM), OwnKills: e(eventKill), GroupKills: e(eventGroupKill)}
	}
	flags := binary.LittleEndian.Uint32(b[atCgroupFlags:])
	n := oom.CgroupNumbers{
		Inode: u64(atInode), Parent: u64(atParent), Children: u64(atChildren),
		Usage: size(atUsage), Limit: limit(atLimit), High: limit(atHigh), Min: limit(atMin), Peak: size(atPeak), LimitHits: oom.Of(u64(atHits)),
		SwapUsage: size(atSwap), SwapLimit: limit(atSwapLimit), MemswUsage: size(atMemsw), MemswLimit: limit(atMemswLimit),
		OOMGroup: oneIf(flags&oomGroup != 0), Events: events(atEvents), LocalEvents: events(atLocalEvents),
	}
	if flags&hasPressure != 0 {
		n.Pressure = oom.Pressure{WaitingMicros: oom.Of(u64(atWaiting) / 1000), StalledMicros: oom.Of(u64(atStalled) / 1000)}
	}
	if flags&hasKernel != 0 {
		n.Kernel = size(atKernel)
	}
	if flags&hasSwappiness != 0 {
		n.Swappiness = oom.Of(uint64(binary.LittleEndian.Uint32(b[atSwappiness:])))
	}
	if flags&hasOOMControl != 0 {
		n.KillDisabled, n.UnderOOM = oneIf(flags&killDisabled != 0), oneIf(flags&underOOM != 0)
	}
	return n
}

func oneIf(on bool) oom.Amount {
	if on {
		return oom.Of(1)
	}
	return oom.Of(0)
}

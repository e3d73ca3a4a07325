// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"strconv"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// zone is one zone of /proc/zoneinfo, in pages.
type zone struct {
	oom.Zone
	active, inactive oom.Amount // nr_zone_*_file; 4.8 and later.
	managed          oom.Amount // in pages; 3.8 and later.
	seen             zoneField
}

type zoneField uint8

const (
	seenFree zoneField = 1 << iota
	seenMin
	seenPresent
	seenProtection
	seenAll = 1<<iota - 1
)

// parseZoneinfo reads /proc/zoneinfo, whose blocks begin like this:
//
//	Node 0, zone      DMA
//	  per-node stats
//	      nr_slab_reclaimable 37413
//	  pages free     3840
//	        min      42
//	        present  3998
//	        managed  3840
//	        protection: (0, 3019, 5963, 5963, 5963)
//	      nr_zone_inactive_file 0
//
// The node's own counters are in the block of its first zone that has pages.
// Before 4.8 each zone has its own nr_active_file and so on; slab counters
// moved to the node in 4.13. A zone without one of the four numbers that the
// margin needs is left out: half a zone would be a wrong sum.
//
// The Zoneinfo of package procfs takes three times as long, more than all other
// files of the node together: see docs/architecture.md.
func parseZoneinfo(b []byte, pageSize uint64) []oom.Zone {
	var zones []oom.Zone
	var z zone
	for len(b) > 0 {
		line, whole := cutLine(&b)
		if !whole {
			break
		}
		if bytes.HasPrefix(line, []byte("Node ")) {
			zones = z.appendTo(zones, pageSize)
			z = parseZoneHead(line)
			continue
		}
		key, value := cutKey(line)
		z.set(key, value)
	}
	return z.appendTo(zones, pageSize)
}

// parseZoneHead reads "Node 0, zone   Normal".
func parseZoneHead(line []byte) zone {
	number, name, found := bytes.Cut(line[len("Node "):], []byte(", zone "))
	node, err := strconv.ParseUint(string(number), 10, 16)
	name = bytes.TrimSpace(name)
	if !found || err != nil || len(name) == 0 || len(name) > 32 {
		return zone{}
	}
	return zone{Zone: oom.Zone{NUMANode: int(node), Name: string(name)}}
}

// cutKey splits an indented line at the blank after its first word.
func cutKey(line []byte) (key, value []byte) {
	line = bytes.TrimLeft(line, " ")
	key, value, _ = bytes.Cut(line, []byte(" "))
	return key, value
}

// set takes one line of the zone's block.
func (z *zone) set(key, value []byte) {
	var field *uint64
	var seen zoneField
	switch string(key) {
	case "pages": // "pages free     3840"
		if word, rest := cutKey(value); string(word) == "free" {
			field, seen, value = &z.Free, seenFree, rest
		}
	case "min":
		field, seen = &z.Min, seenMin
	case "present":
		field, seen = &z.Present, seenPresent
	case "managed":
		z.managed = parseAmount(value)
	case "protection:":
		field, seen, value = &z.Protection, seenProtection, lastProtection(value)
	case "nr_active_file":
		field = &z.ActiveFile
	case "nr_inactive_file":
		field = &z.InactiveFile
	case "nr_slab_reclaimable":
		field = &z.SlabReclaimable
	case "nr_zone_active_file":
		z.active = parseAmount(value)
	case "nr_zone_inactive_file":
		z.inactive = parseAmount(value)
	}
	if field == nil {
		return
	}
	if n, ok := parseAmount(value).Get(); ok {
		*field, z.seen = n, z.seen|seen
	}
}

// lastProtection returns the last number of "(0, 3019, 5963)": what the zone
// keeps from allocations that any zone may serve.
func lastProtection(list []byte) []byte {
	list, closed := bytes.CutSuffix(bytes.TrimSpace(list), []byte(")"))
	if !closed {
		return nil
	}
	return list[bytes.LastIndexAny(list, "(, ")+1:]
}

// appendTo appends the zone, in bytes; its reclaimable slab is added to that of
// the first zone of the same NUMA node.
func (z *zone) appendTo(zones []oom.Zone, pageSize uint64) []oom.Zone {
	if z.Name == "" || z.seen != seenAll {
		return zones
	}
	out := z.Zone
	out.ActiveFile = z.active.Or(z.ActiveFile)
	out.InactiveFile = z.inactive.Or(z.InactiveFile)
	for _, field := range []*uint64{
		&out.Free, &out.Min, &out.Present, &out.Protection,
		&out.ActiveFile, &out.InactiveFile, &out.SlabReclaimable,
	} {
		var fits bool
		if *field, fits = times(*field, pageSize); !fits {
			return zones
		}
	}
	if n, ok := z.managed.Get(); ok {
		if bytes, fits := times(n, pageSize); fits {
			out.Managed = oom.Of(bytes)
		}
	}
	for i := range zones {
		if zones[i].NUMANode == out.NUMANode {
			zones[i].SlabReclaimable, _ = oom.Of(zones[i].SlabReclaimable).Plus(oom.Of(out.SlabReclaimable)).Get()
			out.SlabReclaimable = 0
			break
		}
	}
	return append(zones, out)
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// parseEvents reads memory.events or memory.events.local. The kills go into
// OwnKills, whatever their scope, which the caller knows.
func parseEvents(b []byte) oom.Events {
	var e oom.Events
	for {
		key, value, rest, ok := nextPair(b)
		if !ok {
			return e
		}
		b = rest
		switch string(key) {
		case "high":
			e.High = amountOf(value)
		case "max":
			e.Max = amountOf(value)
		case "oom":
			e.OOMs = amountOf(value)
		case "oom_kill":
			e.OwnKills = amountOf(value)
		case "oom_group_kill":
			e.GroupKills = amountOf(value)
		}
	}
}

// parseOOMControl reads a v1 memory.oom_control. oom_kill came with 4.13.
func parseOOMControl(b []byte) (killDisabled, underOOM, kills oom.Amount) {
	for {
		key, value, rest, ok := nextPair(b)
		if !ok {
			return killDisabled, underOOM, kills
		}
		b = rest
		switch string(key) {
		case "oom_kill_disable":
			killDisabled = amountOf(value)
		case "under_oom":
			underOOM = amountOf(value)
		case "oom_kill":
			kills = amountOf(value)
		}
	}
}

// parsePressure reads memory.pressure; see Documentation/accounting/psi.rst:
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=1234
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=123
func parsePressure(b []byte) oom.Pressure {
	var p oom.Pressure
	for {
		key, value, rest, ok := nextPair(b)
		if !ok {
			return p
		}
		b = rest
		i := bytes.LastIndex(value, []byte("total="))
		if i < 0 {
			continue
		}
		total := amountOf(value[i+len("total="):])
		switch string(key) {
		case "some":
			p.WaitingMicros = total
		case "full":
			p.StalledMicros = total
		}
	}
}

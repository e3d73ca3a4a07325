// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestImpliedRequest(t *testing.T) {
	const total = 10 << 30
	node := &oom.NodeState{Node: oom.Node{Total: oom.Of(total)}}
	row := func(qos oom.QoS, adj int) *oom.Row {
		r := &oom.Row{Group: &oom.Group{}}
		r.QoS = qos
		r.Processes = oom.ProcessSummary{Adj: true, AdjMax: adj}
		return r
	}
	// kubelet: 1000 - 1000*request/capacity, so 900 is a tenth of the node.
	if got := impliedRequest(row(oom.QoSBurstable, 900), node); got != oom.Of(total/10) {
		t.Errorf("adj 900 implies %v, want a tenth of the node", got)
	}
	classless := row("", 900) // kubelet without a group for each class.
	classless.PodUID = "8d3c0a2e-1f4b-4c5d-9e6f-7a8b9c0d1e2f"
	if got := impliedRequest(classless, node); got != oom.Of(total/10) {
		t.Errorf("adj 900 in a pod implies %v, want a tenth of the node", got)
	}
	for what, got := range map[string]oom.Amount{
		"the clamp":      impliedRequest(row(oom.QoSBurstable, 999), node),
		"besteffort":     impliedRequest(row(oom.QoSBestEffort, 900), node),
		"no pod":         impliedRequest(row("", 900), node),
		"no node":        impliedRequest(row(oom.QoSBurstable, 900), nil),
		"no total":       impliedRequest(row(oom.QoSBurstable, 900), &oom.NodeState{}),
		"unread process": impliedRequest(&oom.Row{Group: &oom.Group{Identity: oom.Identity{QoS: oom.QoSBurstable}}}, node),
	} {
		if got.IsSet() {
			t.Errorf("%s implies %v", what, got)
		}
	}
}

// TestWidthOfWhatIsPiped: nothing is cut where nobody has said how wide it is.
func TestWidthOfWhatIsPiped(t *testing.T) {
	for columns, want := range map[string]int{"": 0, "120": 120, "x": 0, "-3": 0} {
		if got := onceWidth(io.Discard, columns); got != want {
			t.Errorf("COLUMNS=%s: %d, want %d", columns, got, want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestQoSOf(t *testing.T) {
	t.Parallel()
	inPod := Path{PodUID: podUID}
	for _, tc := range []struct {
		path Path
		adj  int
		want oom.QoS
	}{
		{Path{PodUID: podUID, QoS: oom.QoSBurstable}, 1000, oom.QoSBurstable},
		{inPod, 1000, oom.QoSBestEffort},
		{inPod, -997, oom.QoSGuaranteed},
		{inPod, -998, oom.QoSGuaranteed},
		{inPod, 2, oom.QoSBurstable},
		{inPod, 999, oom.QoSBurstable},
		{inPod, 1, ""},
		{inPod, 0, ""},
		{inPod, -999, ""},
		{Path{}, 1000, ""},
		{Path{}, -997, ""},
	} {
		if got := QoSOf(tc.path, tc.adj); got != tc.want {
			t.Errorf("QoSOf(%+v, %d) = %q, want %q", tc.path, tc.adj, got, tc.want)
		}
	}
}

// kubeletAdj is kubernetes/pkg/kubelet/qos/policy.go, GetContainerOOMScoreAdjust,
// for a burstable container.
func kubeletAdj(request, capacity uint64) int {
	adj := 1000 - int(1000*request/capacity)
	if adj < 3 {
		return 3
	}
	if adj == 1000 {
		return 999
	}
	return adj
}

func TestImpliedRequest(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for _, capacity := range []uint64{24 * gib, 4*gib + 12345, 999, 1 << 44} {
		for k := range uint64(200) {
			request := capacity/200*k + k*7
			adj := kubeletAdj(request, capacity)
			got, tolerance := ImpliedRequest(adj, capacity)
			low, ok := got.Get()
			if clamped := adj <= 3 || adj == 999; ok == clamped {
				t.Fatalf("ImpliedRequest(%d, %d) = %v", adj, capacity, got)
			} else if clamped {
				continue
			}
			if request < low || request >= low+tolerance {
				t.Errorf("request %d of %d gives %d, which implies %d + %d", request, capacity, adj, low, tolerance)
			}
			if tolerance > capacity/1000+1 {
				t.Errorf("tolerance %d of %d", tolerance, capacity)
			}
		}
	}
	for _, adj := range []int{-998, -997, 0, 1, 2, 3, 999, 1000} {
		if got, tolerance := ImpliedRequest(adj, gib); got.IsSet() || tolerance != 0 {
			t.Errorf("ImpliedRequest(%d) = %v, %d, want nothing", adj, got, tolerance)
		}
	}
	if got, _ := ImpliedRequest(500, 0); got.IsSet() {
		t.Errorf("without a capacity the request is %v", got)
	}
	if got, _ := ImpliedRequest(4, ^uint64(0)); !got.IsValue() {
		t.Error("the largest capacity overflows")
	}
}

func TestMismatch(t *testing.T) {
	t.Parallel()
	sandbox := oom.Identity{QoS: oom.QoSBestEffort, Workload: oom.Workload{Pod: "p", Container: "POD"}}
	of := func(qos oom.QoS) oom.Identity { return oom.Identity{QoS: qos} }
	for _, tc := range []struct {
		id              oom.Identity
		adj             int
		mismatch, known bool
	}{
		{of(oom.QoSGuaranteed), -997, false, true},
		{of(oom.QoSGuaranteed), -998, false, true},
		{of(oom.QoSGuaranteed), 0, true, true},
		{of(oom.QoSGuaranteed), -1000, true, true},
		{of(oom.QoSBurstable), 2, false, true},
		{of(oom.QoSBurstable), 999, false, true},
		{of(oom.QoSBurstable), -997, false, true}, // node-critical.
		{of(oom.QoSBurstable), 1, true, true},
		{of(oom.QoSBurstable), 1000, true, true},
		{of(oom.QoSBestEffort), 1000, false, true},
		{of(oom.QoSBestEffort), -997, false, true},
		{of(oom.QoSBestEffort), 999, true, true},
		{of(oom.QoSBestEffort), 0, true, true},
		{of(""), 0, false, false},
		{sandbox, -998, false, true},
		{sandbox, 1000, true, true},
		{oom.Identity{Workload: oom.Workload{Container: "POD"}}, 0, false, false}, // a Docker container of that name.
	} {
		mismatch, known := Mismatch(tc.id, tc.adj)
		if mismatch != tc.mismatch || known != tc.known {
			t.Errorf("Mismatch(%+v, %d) = %v, %v, want %v, %v", tc.id, tc.adj, mismatch, known, tc.mismatch, tc.known)
		}
	}
}

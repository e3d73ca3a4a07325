// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"math/bits"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// What kubelet and the runtimes write to oom_score_adj
// (kubernetes/pkg/kubelet/qos/policy.go, containerd's defaultSandboxOOMAdj).
const (
	adjBestEffort    = 1000
	adjGuaranteed    = -997 // also node-critical pods of any class.
	adjGuaranteedOld = -998 // before Kubernetes 1.20; always the sandbox's.
	adjBurstableMin  = 2    // 3 since Kubernetes 1.20.
	adjBurstableMax  = 999
)

// sandboxName is the container label of a pod's sandbox.
const sandboxName = "POD"

// QoSOf returns the class of a pod's container: what the path says, else what
// oom_score_adj shows. It is empty outside pods, and where adj fits no class.
func QoSOf(path Path, adj int) oom.QoS {
	switch {
	case path.QoS != "" || path.PodUID == "":
		return path.QoS
	case adj == adjBestEffort:
		return oom.QoSBestEffort
	case adj == adjGuaranteed || adj == adjGuaranteedOld:
		return oom.QoSGuaranteed
	case adj >= adjBurstableMin && adj <= adjBurstableMax:
		return oom.QoSBurstable
	default:
		return ""
	}
}

// ImpliedRequest returns the memory request that kubelet computed a burstable
// container's oom_score_adj from, 1000 - 1000*request/capacity in integers:
// the request is at least bytes and less than bytes + tolerance. It is unset
// where the number was clamped (2, 3 and 999) or is no burstable one.
func ImpliedRequest(adj int, capacity uint64) (bytes oom.Amount, tolerance uint64) {
	if adj <= adjBurstableMin+1 || adj >= adjBurstableMax || capacity == 0 {
		return oom.Amount{}, 0
	}
	high, low := bits.Mul64(capacity, uint64(adjBestEffort-adj))
	quotient, rest := bits.Div64(high, low, 1000)
	if rest > 0 {
		quotient++
	}
	return oom.Of(quotient), capacity/1000 + 1
}

// ExpectedAdj returns the bounds of the oom_score_adj that kubelet gives a
// container of that class, and whether there is such a rule for it.
func ExpectedAdj(id oom.Identity) (low, high int, known bool) {
	if id.Workload.Container == sandboxName && id.Workload.Pod != "" {
		return adjGuaranteedOld, adjGuaranteedOld, true
	}
	switch id.QoS {
	case oom.QoSGuaranteed:
		return adjGuaranteedOld, adjGuaranteed, true
	case oom.QoSBurstable:
		return adjBurstableMin, adjBurstableMax, true
	case oom.QoSBestEffort:
		return adjBestEffort, adjBestEffort, true
	default:
		return 0, 0, false
	}
}

// Mismatch tells whether adj, that of the container's oldest process, is not
// what the class implies. Guaranteed's value is right everywhere: kubelet
// gives it to node-critical pods of every class, and a sandbox that is not yet
// known as one has it too.
func Mismatch(id oom.Identity, adj int) (mismatch, known bool) {
	low, high, known := ExpectedAdj(id)
	if !known {
		return false, false
	}
	fits := adj >= low && adj <= high || adj == adjGuaranteed || adj == adjGuaranteedOld
	return !fits, true
}

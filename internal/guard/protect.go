// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Protection says who is never killed.
type Protection struct {
	Self     int32 // the guard's own pid.
	AdjBelow int   // processes with an oom_score_adj below it.
	// Comm is matched against the names of processes outside containers. Inside one,
	// a process may claim any name.
	Comm *regexp.Regexp
}

// adjNodeCritical is what kubelet gives to Guaranteed pods, and to
// system-node-critical ones of any class (kubelet/qos/policy.go).
const adjNodeCritical = -997

// process returns the reason for which a process is never killed, else "".
func (p *Protection) process(proc *oom.Process) string {
	switch {
	case proc.Init || proc.PID <= 1:
		return "init"
	case proc.PID == p.Self:
		return "the guard itself"
	case int(proc.Adj) < p.AdjBelow:
		return fmt.Sprintf("oom_score_adj %d of pid %d is below %d", proc.Adj, proc.PID, p.AdjBelow)
	}
	return ""
}

// named returns the reason why a process that only its name protects is never killed,
// else "".
func (p *Protection) named(proc *oom.Process, id *oom.Identity) string {
	if id.ContainerID != "" || id.PodUID != "" || p.Comm == nil || !p.Comm.MatchString(proc.Comm) {
		return ""
	}
	return fmt.Sprintf("pid %d is %s", proc.PID, shown(proc.Comm))
}

// member is the reason for which a process that is part of a workload is never
// killed.
func (p *Protection) member(proc *oom.Process, id *oom.Identity) string {
	if reason := p.process(proc); reason != "" {
		return reason
	}
	if id.PodUID != "" && id.QoS != oom.QoSGuaranteed && proc.Adj == adjNodeCritical {
		return "a system-node-critical pod"
	}
	if reason := p.named(proc, id); reason != "" {
		return reason
	}
	return p.workload(id)
}

// workload returns the reason for which a workload is never touched: a static
// pod, which runs what the node itself needs. Its UID is a hash without dashes.
func (p *Protection) workload(id *oom.Identity) string {
	if len(id.PodUID) == 32 && strings.Trim(id.PodUID, "0123456789abcdef") == "" {
		return "a static pod"
	}
	return ""
}

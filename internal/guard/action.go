// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Policy says what the guard does about a group over its threshold.
type Policy string

// The policies.
const (
	PolicyNoop      Policy = "noop"
	PolicyProcess   Policy = "process"
	PolicyContainer Policy = "container"
)

// Policies lists them, the mildest first.
func Policies() []string {
	return []string{string(PolicyNoop), string(PolicyProcess), string(PolicyContainer)}
}

// Outcome says how a look at a group over its threshold ended.
type Outcome string

// The outcomes.
const (
	OutcomeKilled      Outcome = "killed"
	OutcomeIncomplete  Outcome = "incomplete" // some were killed, then an error occurred.
	OutcomeTerminated  Outcome = "terminated" // SIGTERM was sent.
	OutcomeWouldKill   Outcome = "would_kill"
	OutcomeBelow       Outcome = "below"
	OutcomeStanding    Outcome = "standing"  // near its limit, but not about to reach it.
	OutcomeOvertaken   Outcome = "overtaken" // the kernel has killed in the meantime.
	OutcomeReclaimable Outcome = "reclaimable"
	OutcomeNobody      Outcome = "nobody"
	OutcomeProtected   Outcome = "protected"
	OutcomeDying       Outcome = "dying"
	OutcomeCoolDown    Outcome = "cool_down"
	OutcomeRateLimited Outcome = "rate_limited"
	OutcomeSwitchedOff Outcome = "switched_off"
	OutcomeGone        Outcome = "gone"
	OutcomeFailed      Outcome = "failed"
)

// Outcomes lists them.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeKilled, OutcomeIncomplete, OutcomeTerminated, OutcomeWouldKill, OutcomeBelow, OutcomeStanding, OutcomeOvertaken, OutcomeReclaimable, OutcomeNobody, OutcomeProtected,
		OutcomeDying, OutcomeCoolDown, OutcomeRateLimited, OutcomeSwitchedOff, OutcomeGone, OutcomeFailed,
	}
}

// Action is one look at a group over its threshold, and what came of it.
type Action struct {
	Time    time.Time
	Target  Target // the group whose limit is near.
	Policy  Policy
	Outcome Outcome
	Reason  string // why nothing was done, where Outcome alone does not tell.

	Usage, Reclaimable uint64
	Reclaimed          uint64
	Victim             oom.Process  // the process that the kernel would choose; PID 0: none.
	cgroup             oom.GroupID  // the group that Victim is in.
	Sharers            []Victim     // those that share its memory.
	Kills              int          // processes that were sent SIGKILL.
	Growth             float64      // bytes a second, as seen over the threshold.
	kills              oom.Amount   // kills by the kernel, as of the look.
	Container          oom.GroupID  // the group that was, or would be, ended as a whole.
	Identity           oom.Identity // of the workload that was hit.
	Reaction           time.Duration
}

// acted tells whether somebody was killed, or would have been.
func (a *Action) acted() bool {
	return a.Outcome == OutcomeKilled || a.Outcome == OutcomeIncomplete || a.Outcome == OutcomeTerminated || a.Outcome == OutcomeWouldKill
}

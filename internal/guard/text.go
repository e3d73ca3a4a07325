// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"strconv"
	"strings"
)

// Headline says in one sentence what came of an action.
func Headline(a *Action) string {
	usage := fmt.Sprintf("%s of %s used, %s reclaimable", Size(a.Usage), Size(a.Target.Limit), Size(a.Reclaimable))
	who := "process " + victim(a)
	if a.Container.Path != "" {
		who = "container " + strconv.Quote(a.Identity.Workload.Container)
	}
	switch a.Outcome {
	case OutcomeKilled:
		return fmt.Sprintf("killed %s before the kernel had to: %s", who, usage)
	case OutcomeIncomplete:
		return fmt.Sprintf("killed only a part of %s, then an error occurred: %s", who, usage)
	case OutcomeTerminated:
		return fmt.Sprintf("sent SIGTERM to %s before it would be killed: %s", who, usage)
	case OutcomeWouldKill:
		return fmt.Sprintf("would have killed %s: %s", who, usage)
	case OutcomeBelow:
		return "nothing killed: usage fell below the threshold"
	case OutcomeStanding:
		return "nothing killed: the cgroup is near its limit, but not about to reach it"
	case OutcomeOvertaken:
		return "nothing killed: the kernel has killed in the meantime"
	case OutcomeReclaimable:
		return "nothing killed: the kernel can still reclaim"
	case OutcomeNobody:
		return "nothing killed: there is nobody to kill"
	case OutcomeProtected:
		return "nothing killed: the victim is protected"
	case OutcomeDying:
		return "nothing killed: the victim is dying already"
	case OutcomeCoolDown:
		return "nothing killed: the cgroup was hit a moment ago"
	case OutcomeRateLimited:
		return "nothing killed: too many kills in a minute"
	case OutcomeSwitchedOff:
		return "nothing killed: the kill switch is thrown"
	case OutcomeGone:
		return "nothing killed: the cgroup or its victim is gone"
	default:
		return "nothing killed: an error occurred"
	}
}

// victim names the process that the kernel would choose.
func victim(a *Action) string { return fmt.Sprintf("%d (%s)", a.Victim.PID, shown(a.Victim.Comm)) }

// shown makes a name, which anybody may have chosen, safe to print.
func shown(name string) string { return strings.Trim(strconv.Quote(name), `"`) }

// Size prints bytes in binary units with one digit.
func Size(bytes uint64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

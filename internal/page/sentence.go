// SPDX-License-Identifier: Apache-2.0

package page

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// sentence says who was killed and whose limit it was.
func sentence(k *oom.Kill) string { return sentenceOf(k, "") }

// sentenceOf is the sentence with the workload after the process.
func sentenceOf(k *oom.Kill, of string) string {
	s := process(k.Victim.Comm, k.Victim.PID)
	// A name is not to be changed, not even its first letter.
	if k.Victim.Comm == "" {
		s = upper(s)
	}
	if of != "" {
		s += " of " + of
	}
	s += " was killed"
	if k.GroupKill {
		s += " together with its whole cgroup (memory.oom.group)"
	}
	return s + reason(k) + "."
}

func reason(k *oom.Kill) string {
	of := ""
	if k.Limit.IsValue() {
		of = " of " + amount(k.Limit)
	}
	switch {
	case k.Sysrq:
		return " because an OOM kill was requested by sysrq"
	case k.Allocating:
		return " because the node ran out of memory while it was allocating (vm.oom_kill_allocating_task)"
	}
	switch k.Level {
	case oom.LevelNode:
		return " because the node ran out of memory"
	case oom.LevelNUMA:
		return " because the NUMA nodes that it may use ran out of memory"
	case oom.LevelContainer:
		return " because its container reached its memory limit" + of
	case oom.LevelPod:
		return " because its pod reached its memory limit" + of
	case oom.LevelSlice:
		return " because " + cgroupName(k.LimitPath) + " reached its memory limit" + of
	default:
		return "; whose limit was reached is not known"
	}
}

func cgroupName(path string) string {
	if path == "" {
		return "a slice above it"
	}
	return "the cgroup " + text.Label(path)
}

// generalAdvice is what can be said about a kill without a recording.
func generalAdvice(k *oom.Kill) string {
	switch k.Level {
	case oom.LevelContainer:
		return "Either the container needs more than its limit, then raise it; or it leaks, then no limit is enough. " +
			"Its memory over the last hours tells which: a leak keeps rising after each of its lows."
	case oom.LevelPod:
		return "The pod's containers and its memory-backed volumes share one limit. Find which of them grew: it need not be the one that was killed."
	case oom.LevelSlice:
		return "All that is below the slice shares its limit. Find what grew there, or raise the slice's limit."
	case oom.LevelNode:
		return "The node itself ran out. Compare memory requests with its capacity, and give containers without a limit one."
	case oom.LevelNUMA:
		return "The NUMA nodes of its cpuset or memory policy ran out. Allow it more of them, or move what fills them."
	default:
		return "Give the exporter access to the kernel log (CAP_SYSLOG): it names the limit."
	}
}

// binding names the limit that a margin is about.
func binding(m *oom.Margin) string {
	switch m.Level {
	case oom.LevelNested:
		return "a limit inside it"
	case oom.LevelContainer:
		return "its own limit"
	case oom.LevelPod:
		return "its pod's limit"
	case oom.LevelSlice:
		return "slice " + text.Label(m.Cgroup)
	case oom.LevelNUMA:
		return "its NUMA nodes"
	case oom.LevelNode:
		return "the node"
	default:
		return "not known"
	}
}

// causeText is a verdict's cause in a few words.
func causeText(c oom.Cause) string {
	words := map[oom.Cause]string{
		oom.CauseStartup: "does not fit at startup", oom.CauseLeak: "leak", oom.CauseBurst: "burst",
		oom.CauseSteady: "ordinary working set does not fit", oom.CauseLimitLowered: "limit was lowered",
		oom.CauseSibling: "another container brought the growth", oom.CauseNode: "node ran out",
		oom.CauseProcesses: "number of processes grew", oom.CauseRestartDebt: "memory left by an earlier instance",
		oom.CauseUnknown: "cause not known",
	}
	if w, ok := words[c]; ok {
		return w
	}
	return strings.ReplaceAll(text.Label(string(c)), "_", " ")
}

// SPDX-License-Identifier: Apache-2.0

// Package ledger counts OOM kills: how many there were, in which workload, and
// by whose limit. It joins the kernel's counters with the kernel log and with
// whatever else names a victim.
//
// # Cases
//
// Only oom_kill of /proc/vmstat says how many kills there were. Each kill that
// it counts opens one case. (Before Linux 4.13 vmstat has no oom_kill: the
// log's Killed lines open the cases then, and where there is no log either,
// the cgroups' counters do.) A case is open until it is closed exactly once:
// published for a workload, published as unattributed, or put down as a
// duplicate, the second count of a group kill's first victim. So at any time
// since the epoch
//
//	step of vmstat = attributed + unattributed + pending + duplicates
//
// where pending is the number of open cases (less the debt, if vmstat went
// back). What is published is never taken back. A closed case is kept for a
// minute, so that a late line of the log is joined with its own case instead of
// another one.
//
// # Evidence
//
// Everything else only says whose kill a case is, and never opens one:
//
//   - a line of the kernel log, one for each kill, with pid, comm and sizes. The
//     paths of the victim and of the limit come only with a full report, of
//     which the kernel prints ten in 5 s;
//   - a step of a cgroup's own counter. On v1 the cgroups that lines name are
//     read one by one; only what they leave unexplained needs a read of all.
//     One read of all counters that began after a line came tells whether the
//     line's cgroup is still there to confirm it;
//   - the step of removed children: a v2 cgroup also counts the kills in its
//     children. Kills that it counted beyond its own and those of its living
//     children happened in a child that is gone;
//   - a witness: a sighting of a dying process with its cgroup, read by a BPF
//     program at the kill, or by us when tracefs reported it;
//   - the processes of the last scans.
//
// Once a tick, match joins the evidence with the open cases. A line is joined
// with the step of its cgroup. Lines without a path get the steps that are
// left, if those are of one cgroup only; otherwise the cgroups get their kills
// and the lines a record without a workload. A step waits 2 s for its line
// where there is a log (the line may turn out to be a duplicate), a case
// without any evidence 10 s and two reads of all cgroups. A line for which
// there is no case is dropped and counted: it is forged, or late.
//
// The kernel counts before it logs, so the cgroups are read first, then the
// log, and vmstat last: whatever the cgroups or the log say is in vmstat. A
// counter that was read while it moved is carried over as a negative number
// and never clamped.
//
// # Duplicates
//
// With memory.oom.group the kernel counts the first victim twice. The log marks
// the second line of the same pid; without that line a step of oom_group_kill
// says that one of the kills is a duplicate. Both are evidence of the same
// duplicate, whichever is read first and however much later the other comes.
//
// # The epoch
//
// Without a state file of this boot, counting starts at the first complete
// read: counters and lines from before it are history. A cgroup that shows up later
// started at 0. With a state file counting goes on where it was saved,
// including the values of the cgroups' counters, so that the kills in between
// are found by the same arithmetic.
//
// # The state file
//
// Where there is a state file, a View shows what the file holds: what a scrape
// has shown is what a restart goes on from. A slow disk makes numbers late, but
// does not make them fall. They are shown unsaved only where the last save
// failed, or where a change has waited a minute to be saved.
package ledger

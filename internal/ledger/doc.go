// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps the books of OOM kills: how many there were, in which
// workload, by whose limit. It joins the kernel's counters with the kernel's
// log and with what else names a victim.
//
// # The number
//
// Only oom_kill of /proc/vmstat says how many kills there were. Each step of
// it opens as many slots. A slot is closed exactly once: by a kill that is
// published for a workload, by a kill that stays unattributed, or by the
// second count of a group kill's first victim. So at any time, since the
// epoch,
//
//	step of vmstat = attributed + unattributed + pending + duplicates
//
// where pending are the open slots. What is published is never taken back.
// Before Linux 4.13 vmstat has no oom_kill; the log's Killed lines open the
// slots then, and where there is no log either, the groups' counters do.
//
// # The names
//
// All else only says whose a slot is, and never opens one:
//
//   - a line of the kernel log, one for each step of vmstat, with pid, comm and
//     sizes; the paths of the victim and of the limit only with its report,
//     which the kernel prints ten times in 5 s;
//   - a claim: a group's own counter has moved, so this many kills were its.
//     One read of the counters that began after a line came tells whether
//     the line's group still exists to confirm it;
//   - gone: a v2 group counts its removed children too. What its step has
//     more than its own and its living children's steps happened in a child
//     that is not there any more;
//   - a witness: somebody saw the victim's cgroup while it died (tracefs);
//   - the processes of the last scans.
//
// A line is joined with the claim of its group. Lines without a path take
// what is left, if that is the claims of one group only; else the claims are
// published for their groups and the lines as records without a workload. A
// claim without a line waits 2 s for it where there is a log (the line may
// turn out to be a duplicate), a slot without any evidence 10 s and two reads
// of all groups. A line that no slot is left for is dropped and counted: a
// forgery, or too late.
//
// The kernel counts before it logs, so the groups are read first, then the
// log, vmstat last: whatever the groups or the log say is in vmstat. A claim
// that is ahead nevertheless, or a counter that was read while it moved, is
// carried over as a negative number and never clamped.
//
// # The epoch
//
// Without a state file of this boot, counting starts at the first complete
// read: counters and lines of before are history. A group that shows up later
// started at 0. With a state file everything goes on where it was saved, the
// counters' values included, so that the kills in between are found by the
// same arithmetic.
package ledger

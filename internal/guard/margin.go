// SPDX-License-Identifier: Apache-2.0

package guard

// Margin says how far below a limit the threshold lies.
type Margin struct {
	Ratio    float64 // of the limit.
	Min, Max uint64  // bounds, in bytes.
	CPUs     int     // of the node; 0: not known yet.
}

// roomy is the part of a limit that a margin may be widened to for what the CPUs may
// have charged ahead.
const roomy = 8

// tooSmall is the part of a limit that a margin may take at most: a group so
// small that Min takes more would be over its threshold all its life.
const tooSmall = 4

// Of returns the margin below this limit. On a node with many CPUs it is wider, since
// usage says less of what a group holds there; Max is for the ratio only.
func (m Margin) Of(limit uint64) uint64 {
	margin := min(max(uint64(float64(limit)*m.Ratio), m.Min), m.Max)
	if ahead := m.ahead(); ahead > charge {
		margin = max(margin, min(4*ahead, limit/roomy))
	}
	return margin
}

// ahead is by how much usage may be more than what a group holds: each CPU charges up
// to a batch ahead, which is taken back when something else is charged there. Not all
// of them have a whole one at any time.
func (m Margin) ahead() uint64 { return charge * uint64(max(1, m.CPUs*3/4)) }

// beyond is what one CPU more may have charged ahead, where there is one.
func (m Margin) beyond() uint64 {
	if m.ahead() >= charge*uint64(max(1, m.CPUs)) {
		return 0
	}
	return charge
}

// Threshold returns the usage from which the guard acts; false for a limit that
// is too small to have a margin.
func (m Margin) Threshold(limit uint64) (uint64, bool) {
	margin := m.Of(limit)
	if margin > limit/tooSmall {
		return 0, false
	}
	return limit - margin, true
}

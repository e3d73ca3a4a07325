// SPDX-License-Identifier: Apache-2.0

package guard

// Margin says how far below a limit the threshold lies.
type Margin struct {
	Ratio    float64 // of the limit.
	Min, Max uint64  // bounds, in bytes.
	CPUs     int     // of the node; 0: not known yet.
}

// roomy bounds how far a margin is widened for what the CPUs may have charged ahead: to
// limit/roomy.
const roomy = 8

// tooSmall bounds the margin itself, to limit/tooSmall: a group so small that Min takes
// more would be over its threshold all its life.
const tooSmall = 4

// Of returns the margin below this limit. On a node with many CPUs it is wider, since
// usage says less about what a group holds there; Max does not bound that.
func (m Margin) Of(limit uint64) uint64 {
	margin := min(max(uint64(float64(limit)*m.Ratio), m.Min), m.Max)
	if ahead := m.ahead(); ahead > charge {
		margin = max(margin, min(4*ahead, limit/roomy))
	}
	return margin
}

// ahead is by how much usage may exceed what a group holds: each CPU charges up to a
// batch ahead, which is taken back when it charges for another group. Not all CPUs have
// a whole batch at the same time.
func (m Margin) ahead() uint64 { return charge * uint64(max(1, m.CPUs*3/4)) }

// beyond is what one CPU more than counted in ahead may have charged, if there is one.
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

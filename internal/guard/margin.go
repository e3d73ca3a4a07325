// SPDX-License-Identifier: Apache-2.0

package guard

// Margin says how far below a limit the threshold lies.
type Margin struct {
	Ratio    float64 // of the limit.
	Min, Max uint64  // bounds, in bytes.
}

// tooSmall is the part of a limit that a margin may take at most: a group so
// small that Min takes more would be over its threshold all its life.
const tooSmall = 4

// Of returns the margin below this limit.
func (m Margin) Of(limit uint64) uint64 {
	return min(max(uint64(float64(limit)*m.Ratio), m.Min), m.Max)
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

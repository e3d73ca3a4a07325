// SPDX-License-Identifier: Apache-2.0

package oom

import "strconv"

// Amount is one number of the kernel: unset (the kernel does not have it, or
// it could not be read), unlimited ("max"), or a value. The zero Amount is
// unset, so that what nobody filled in never shows as 0. It takes no more memory
// than the number, as a snapshot has some fifty of them per cgroup: values are
// kept plus one, which leaves out the two largest 64-bit numbers.
type Amount struct{ kept uint64 }

const (
	unset     = 0
	unlimited = ^uint64(0)
	// MaxAmount is the largest value; what is larger is taken for it.
	MaxAmount = unlimited - 2
)

// Of returns the Amount that holds the value n.
func Of(n uint64) Amount { return Amount{min(n, MaxAmount) + 1} }

// Unlimited returns the Amount of a limit that does not limit.
func Unlimited() Amount { return Amount{unlimited} }

// Get returns the value, and whether there is one.
func (a Amount) Get() (uint64, bool) {
	if !a.IsValue() {
		return 0, false
	}
	return a.kept - 1, true
}

// Or returns the value, or other where there is none.
func (a Amount) Or(other uint64) uint64 {
	if !a.IsValue() {
		return other
	}
	return a.kept - 1
}

// IsSet tells whether the kernel said anything: a value or unlimited.
func (a Amount) IsSet() bool { return a.kept != unset }

// IsUnlimited tells whether the kernel said that there is no limit.
func (a Amount) IsUnlimited() bool { return a.kept == unlimited }

// IsValue tells whether Get has a value to return.
func (a Amount) IsValue() bool { return a.kept != unset && a.kept != unlimited }

// Plus adds two Amounts: unset where either is unset, else unlimited where
// either is unlimited. The sum stops at the largest value instead of wrapping.
func (a Amount) Plus(b Amount) Amount {
	switch {
	case !a.IsSet() || !b.IsSet():
		return Amount{}
	case a.IsUnlimited() || b.IsUnlimited():
		return Unlimited()
	}
	sum := a.Or(0) + b.Or(0)
	if sum < a.Or(0) {
		sum = MaxAmount
	}
	return Of(sum)
}

// Less orders limits: a value before unlimited, both before unset.
func (a Amount) Less(b Amount) bool {
	if !a.IsSet() || !b.IsSet() {
		return a.IsSet()
	}
	return a.kept < b.kept
}

// String prints the value, "unlimited" or "unset".
func (a Amount) String() string {
	switch a.kept {
	case unset:
		return "unset"
	case unlimited:
		return "unlimited"
	}
	return strconv.FormatUint(a.kept-1, 10)
}

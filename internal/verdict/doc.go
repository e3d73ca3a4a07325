// SPDX-License-Identifier: Apache-2.0

// Package verdict says why a kill came about: a recording of the time before it
// goes in; one of a fixed set of causes, and a sentence with numbers, come out.
// It is pure: it reads nothing and keeps nothing, so that the same recording
// always gets the same answer.
//
// What counts as size is the memory that reclaim cannot free; page cache comes
// and goes and says nothing about why a limit was too small. A shape has to be
// seen to be named: where the samples are too few, or fit two causes, the cause
// is unknown and the sentence says why.
package verdict

// SPDX-License-Identifier: Apache-2.0

// Package proc reads what the OOM killer looks at out of the proc file
// system: the processes with their scores and sizes, and the node's memory.
//
// A scan of all processes is the hot path of a scrape, so it makes the system
// calls itself and allocates nothing per process. The parsers are pure and
// build anywhere; reading needs Linux.
package proc

// Options says where and how much to read.
type Options struct {
	// Root is the directory of a proc file system, such as /proc.
	Root string
	// MaxProcesses bounds one scan; 0 means 100,000. What is beyond is
	// counted, not read.
	MaxProcesses int
	// Refresh is the number of scans in which each process is read in full at
	// least once. In the others only oom_score is, which shows (since 5.9)
	// that its memory changed by a 667th of the node's, or its adj by 2; and
	// where the group is at rest, not even that but in half as many scans. Up
	// to 1, and where scores can't be relied on, all is read each time.
	Refresh int
	// PageSize in bytes; 0 means that of this process.
	PageSize uint64
}

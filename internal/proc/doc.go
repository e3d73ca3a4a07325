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
	// MaxProcesses bounds one scan; 0 means 100,000. Processes beyond it are
	// counted, not read.
	MaxProcesses int
	// Refresh is the number of scans within which the oom_score_adj of each process
	// is read at least once. In the other scans only oom_score is read: since 5.9 it
	// changes when the process' memory changes by a 667th of the node's, or its
	// oom_score_adj by 2. If the usage of its cgroup is unchanged, even that is read
	// only once in Refresh/2 scans. 0 and 1 read everything in each scan, and so
	// does any value on kernels whose oom_score does not show changes.
	Refresh int
	// PageSize in bytes; 0 means that of this process.
	PageSize uint64
}

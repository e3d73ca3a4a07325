// SPDX-License-Identifier: Apache-2.0

package cgroup

import "golang.org/x/sys/unix"

// Who keeps cgroups open between passes has a share of the descriptors that this
// process may have, in eighths. The last eighth is for connections, for the kernel log
// and for what a pass opens for a moment.
const (
	scrapeFiles  = 4 // see openGroup.
	samplerFiles = 2 // see Sampler.
	stormFiles   = 1 // see storm.
)

// shareOf returns so many eighths of the descriptors. The limit is asked for anew each
// time: somebody may change it.
func shareOf(eighths int) int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<20)) * eighths / 8
}

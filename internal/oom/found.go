// SPDX-License-Identifier: Apache-2.0

package oom

// CgroupHandle names a memory cgroup between a source of samples and who asks
// it. It is small, and used again when its cgroup is gone.
type CgroupHandle int32

// NoCgroup is the handle of none.
const NoCgroup CgroupHandle = -1

// FoundCgroup is a memory cgroup that a source of samples has found.
type FoundCgroup struct {
	GroupID
	Handle, Parent CgroupHandle // Parent is NoCgroup for the root.
	UID            uint32       // as in Group.
}

// SPDX-License-Identifier: Apache-2.0

package oom

// CgroupHandle identifies a memory cgroup to a source of samples and its callers.
// It is a small number, and is used again when its cgroup is gone.
type CgroupHandle int32

// NoCgroup is the handle of no cgroup.
const NoCgroup CgroupHandle = -1

// FoundCgroup is a memory cgroup that a source of samples has found.
type FoundCgroup struct {
	GroupID
	Handle, Parent CgroupHandle // Parent is NoCgroup for the root.
	UID            uint32       // as in Group.
}

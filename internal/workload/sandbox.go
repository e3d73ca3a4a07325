// SPDX-License-Identifier: Apache-2.0

package workload

import "github.com/oom-exporter/oom_exporter/internal/oom"

// findSandboxes finds the pause containers that no source has named. kubelet
// starts the containers of a pod one after the other, and makes the log file
// of each before it starts the next; the sandbox is older than all of them and
// has no file. So a container that has no name, is the oldest cgroup of its
// pod, and has a sibling with a name, is the sandbox. Age is told by the inode
// number, which grows with every cgroup made (kernfs, since 4.14).
//
// It needs Namer's lock.
func (n *Namer) findSandboxes(tree *oom.Tree) {
	var families map[string]*family
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if e := n.member(tree, g); e != nil && !e.named() {
			if families == nil {
				families = make(map[string]*family)
			}
			families[g.PodUID] = &family{}
		}
	}
	if families == nil {
		return
	}
	for i := range tree.Groups {
		g := &tree.Groups[i]
		e := n.member(tree, g)
		f := families[g.PodUID]
		if e == nil || f == nil {
			continue
		}
		f.unknownAge = f.unknownAge || g.Inode == 0
		f.named = f.named || e.named()
		if f.oldest == nil || g.Inode < f.inode {
			f.oldest, f.inode = e, g.Inode
		}
	}
	for uid, f := range families {
		pod := n.cache.pods[uid]
		if !f.named || f.unknownAge || f.oldest.named() || pod == nil || pod.name == "" || pod.vague {
			continue
		}
		f.oldest.Workload = oom.Workload{Namespace: pod.namespace, Pod: pod.name, Container: sandboxName}
		f.oldest.Sandbox = true
		f.oldest.rank = len(n.runners) // any source may know better.
	}
}

// family is one pod's containers in the tree.
type family struct {
	oldest     *entry
	inode      uint64
	named      bool // one of them at least.
	unknownAge bool
}

// member returns the entry of a cgroup that is a container of a pod. Kata has the
// whole pod in one cgroup, which is named after the sandbox.
func (n *Namer) member(tree *oom.Tree, g *oom.Group) *entry {
	if g.Parent <= 0 || tree.Groups[g.Parent].Kind != oom.KindPod || g.Kind == oom.KindPart ||
		g.Runtime == runtimeKata || !isID(g.ContainerID) {
		return nil
	}
	return n.cache.containers[g.ContainerID]
}

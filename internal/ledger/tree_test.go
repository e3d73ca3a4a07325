// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func (k *kernel) mkdir(parent *kgroup, name string, kind oom.Kind, who oom.Identity) *kgroup {
	path := parent.path + "/" + name
	if parent == k.root {
		path = "/" + name
	}
	k.inode++
	g := &kgroup{path: path, inode: k.inode, parent: parent, kind: kind, who: who, limited: kind != oom.KindSlice, pids: 2}
	parent.children = append(parent.children, g)
	k.names[path] = g
	return g
}

func (k *kernel) rmdir(g *kgroup) {
	g.gone = true
	for i, c := range g.parent.children {
		if c == g {
			g.parent.children = append(g.parent.children[:i], g.parent.children[i+1:]...)
			return
		}
	}
}

// cluster makes pods with containers.
func (k *kernel) cluster(pods, containers int) (all []*kgroup) {
	slice := k.mkdir(k.root, "kubepods.slice", oom.KindSlice, oom.Identity{})
	for p := range pods {
		pod := k.mkdir(slice, fmt.Sprintf("pod%d", p), oom.KindPod,
			oom.Identity{Workload: oom.Workload{Namespace: "ns", Pod: fmt.Sprintf("p%d", p)}})
		for c := range containers {
			all = append(all, k.container(pod, c))
		}
	}
	return all
}

// container makes a container; each time under a new path.
func (k *kernel) container(pod *kgroup, c int) *kgroup {
	w := pod.who.Workload
	w.Container = fmt.Sprintf("c%d", c)
	return k.mkdir(pod, fmt.Sprintf("cri-%d-%d", c, k.inode), oom.KindContainer, oom.Identity{Workload: w})
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Bounds on what is remembered.
const (
	maxKubelets  = 64
	maxDelegated = 4096
)

// ground is what trees have taught about the places where cgroups are. The path of
// a cgroup that is gone is read with it, so that its name is worth as much as it
// was while the cgroup existed.
type ground struct {
	trees     uint64            // how many were seen.
	delegated map[string]uint64 // users' directories, and the last tree that had each.
	kubelets  map[string]bool   // kubelet's roots that have had pods.
	// nodeKubelet says that these roots are where only root makes cgroups.
	nodeKubelet bool
}

// see takes in a classified tree.
func (g *ground) see(tree *oom.Tree) {
	g.trees++
	for i := range tree.Groups {
		group := &tree.Groups[i]
		switch {
		case delegated(group, &tree.Groups[0]):
			g.delegate(tree, group)
		case len(g.delegated) > 0:
			delete(g.delegated, group.Path)
		}
		if group.Kind == oom.KindPod && len(g.kubelets) < maxKubelets && group.Parent >= 0 && tree.Groups[group.Parent].Kind != oom.KindPod {
			g.learnKubelet(group.Path)
		}
	}
}

// delegate notes a directory that was given to others. A container's, or one below
// another such directory, needs no note: names below it are worth nothing anyway.
func (g *ground) delegate(tree *oom.Tree, group *oom.Group) {
	if group.ContainerID != "" || group.Parent >= 0 && delegated(&tree.Groups[group.Parent], &tree.Groups[0]) {
		return
	}
	if g.delegated == nil {
		g.delegated = map[string]uint64{}
	}
	g.delegated[group.Path] = g.trees
	if len(g.delegated) > maxDelegated {
		g.forgetOldest()
	}
}

// forgetOldest makes room for an eighth of the directories that may be noted.
func (g *ground) forgetOldest() {
	paths := slices.SortedFunc(maps.Keys(g.delegated), func(a, b string) int {
		return cmp.Or(cmp.Compare(g.delegated[a], g.delegated[b]), strings.Compare(a, b))
	})
	for _, path := range paths[:maxDelegated/8] {
		delete(g.delegated, path)
	}
}

// learnKubelet notes the root of the kubelet that made the pod's cgroup. One below
// a systemd unit counts as long as there is none elsewhere.
func (g *ground) learnKubelet(pod string) {
	for root := range g.kubelets {
		if rest, ok := strings.CutPrefix(pod, root); ok && rest[0] == '/' {
			return
		}
	}
	parsed := ParsePath(pod)
	inUnit := parsed.standing < standingNode
	if parsed.kubelet == "" || inUnit && g.nodeKubelet {
		return
	}
	if g.kubelets == nil || !inUnit && !g.nodeKubelet {
		g.kubelets = map[string]bool{}
	}
	g.kubelets[parsed.kubelet] = true
	g.nodeKubelet = g.nodeKubelet || !inUnit
}

// parse reads the path of a group that may be gone. kubelet is believed below a
// systemd unit if it had pods there, or none were seen at all.
func (g *ground) parse(path string) Path {
	parsed := parsePath(path, func(_ *Path, at string) facts {
		return facts{
			delegated:     g.delegated[at] > 0,
			noUnitKubelet: len(g.kubelets) > 0 && !g.kubelets[at],
		}
	})
	if parsed.loosePod && parsed.standing < standingNode && len(g.kubelets) > 0 {
		parsed.PodUID, parsed.QoS, parsed.loosePod = "", "", false // Classify looks at the pod itself.
	}
	return parsed
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Classify fills Kind, Owner and Identity of every group, with stand-ins for
// names. What a path can't tell, the tree decides:
//
//   - A unit that holds containers or pods is a slice, and so are the groups
//     between. Its other groups are parts of it all the same. A container
//     holds nothing but parts of it.
//   - user@UID.service is a slice where it holds units, else a unit.
//   - A helper belongs to its container, else to its pod; alone it has a row.
//   - An unknown group is a workload where it has no children, else a slice.
//   - Of two groups that claim one container or pod, the one of higher standing
//     has it, or else the older; the other goes by its path.
func Classify(tree *oom.Tree) {
	p := newPass(tree.Groups)
	p.parse()
	if p.contested() && p.refuse() {
		p.parse()
	}
	p.gather()
	p.decide()
	for i := range tree.Groups {
		adopt(tree, i)
	}
}

// adopt gives a part the identity of its owner.
func adopt(tree *oom.Tree, i int) {
	if g := &tree.Groups[i]; g.Kind == oom.KindPart {
		g.Identity = tree.Groups[g.Owner].Identity
	}
}

// pass is one classification.
type pass struct {
	groups []oom.Group
	notes  []note
	// containers finds a helper's container; made when the first is met.
	containers map[containerKey]int

	// What the first parse met, see contested.
	standings   uint8 // set of standings of containers and pods.
	nodeKubelet bool  // kubelet's root is where only root makes groups.
	loosePods   bool

	index         map[string]int // by path; made when a tree is in no order.
	refused       map[int]bool
	noUnitKubelet bool
}

type note struct {
	class      class
	standing   standing
	loosePod   bool
	hasChild   bool
	holds      bool // a container or a pod, at whatever depth.
	holdsUnits bool
	anchor     int32 // what a part is a part of.
}

type containerKey struct {
	runtime, id, standIn string // standIn begins with the user's manager, if any.
	inUnit               bool
}

func newPass(groups []oom.Group) *pass {
	return &pass{groups: groups, notes: make([]note, len(groups))}
}

// parse reads of each path only what follows its parent's. Groups are in
// pre-order, so the parent is among the last ones read, one at each depth.
func (p *pass) parse() {
	type step struct {
		index int
		path  Path
	}
	stack := make([]step, 0, 16)
	for i := range p.groups {
		g := &p.groups[i]
		for len(stack) > 0 && stack[len(stack)-1].index != g.Parent {
			stack = stack[:len(stack)-1]
		}
		parsed := rootPath()
		switch {
		case i == 0:
		case len(stack) == 0:
			parsed = p.parseAlone(g.Path) // not in pre-order after all.
		default:
			parent := &stack[len(stack)-1]
			parsed = parent.path.child(g.Path, segmentBelow(p.groups[parent.index].Path, g.Path), p.facts(i))
		}
		stack = append(stack, step{i, parsed})
		g.Kind, g.Owner, g.Identity = parsed.Kind, i, parsed.Identity()
		p.note(i, &parsed)
	}
}

// segmentBelow returns the last segment of a path, that of the parent's child.
func segmentBelow(parent, path string) string {
	start := len(parent)
	if start < len(path) && path[start] == '/' {
		start++
	}
	if start > len(path) || strings.IndexByte(path[start:], '/') >= 0 { // no child's after all.
		start = strings.LastIndexByte(path, '/') + 1
	}
	return path[start:]
}

// parseAlone reads a path without the group's parent at hand.
func (p *pass) parseAlone(path string) Path {
	if p.index == nil {
		p.index = make(map[string]int, len(p.groups))
		for i := range p.groups {
			p.index[p.groups[i].Path] = i
		}
	}
	return parsePath(path, func(_ *Path, at string) facts {
		if i, ok := p.index[at]; ok {
			return p.facts(i)
		}
		return facts{noUnitKubelet: p.noUnitKubelet}
	})
}

// facts are what the tree says of a group.
func (p *pass) facts(i int) facts {
	return facts{
		refused:       p.refused[i],
		delegated:     delegated(&p.groups[i], &p.groups[0]),
		noUnitKubelet: p.noUnitKubelet,
	}
}

// delegated tells whether the cgroup was given to a user other than root and the
// owner of the whole hierarchy, who in a user namespace may look like somebody
// else.
func delegated(g, root *oom.Group) bool { return g.UID != 0 && g.UID != root.UID }

// note keeps what is needed later of a path.
func (p *pass) note(i int, parsed *Path) {
	n := note{class: parsed.class, standing: parsed.standing, loosePod: parsed.loosePod}
	if n.class == classContainer || n.class == classPod {
		p.standings |= 1 << parsed.standing
		p.loosePods = p.loosePods || parsed.loosePod
	}
	p.nodeKubelet = p.nodeKubelet || parsed.kube == kubeRoot && parsed.standing == standingNode
	p.notes[i] = n
	parent := p.groups[i].Parent
	if i == 0 || parent < 0 || parent >= i {
		return
	}
	above := &p.notes[parent]
	above.hasChild = true
	p.notes[i].anchor = int32(parent)
	if above.class == classPart {
		p.notes[i].anchor = above.anchor
	}
}

// gather tells every group what is below it.
func (p *pass) gather() {
	for i := len(p.groups) - 1; i > 0; i-- {
		parent := p.groups[i].Parent
		if parent < 0 || parent >= i {
			continue
		}
		n, above := p.notes[i], &p.notes[parent]
		above.holds = above.holds || n.holds || n.class == classContainer || n.class == classPod
		above.holdsUnits = above.holdsUnits || n.holdsUnits || n.class == classUnit
	}
}

// decide sets the kinds and owners that depend on the tree.
func (p *pass) decide() {
	for i := range p.groups {
		g, n := &p.groups[i], p.notes[i]
		switch n.class {
		case classUnit:
			if n.holds {
				g.Kind = oom.KindSlice
			}
		case classManager:
			if n.holds || n.holdsUnits {
				g.Kind = oom.KindSlice
			}
		case classOther:
			if n.hasChild {
				g.Kind = oom.KindSlice
			}
		case classPart:
			if n.holds {
				g.Kind = oom.KindSlice
			} else {
				g.Owner = p.groups[n.anchor].Owner
			}
		case classHelper:
			p.findOwner(i)
		}
	}
}

// findOwner gives a helper to its container, or to its pod.
func (p *pass) findOwner(i int) {
	if p.containers == nil {
		p.containers = make(map[containerKey]int)
		for j := range p.groups {
			if p.notes[j].class == classContainer {
				p.containers[p.key(j)] = j
			}
		}
	}
	g := &p.groups[i]
	if owner, ok := p.containers[p.key(i)]; ok {
		g.Owner = owner
		return
	}
	for parent := g.Parent; parent > 0; parent = p.groups[parent].Parent {
		if p.notes[parent].class == classPod {
			g.Owner = parent
			return
		}
	}
	g.Kind = oom.KindContainer
}

// key is what a helper and its container have in common; both are in the same
// territory.
func (p *pass) key(i int) containerKey {
	g, n := &p.groups[i], &p.notes[i]
	return containerKey{g.Runtime, g.ContainerID, g.Workload.Container, n.standing == standingUnit}
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Classify fills Kind, Owner and Identity of every group, with stand-ins for
// names. What a path can't tell, the tree decides:
//
//   - A container or unit that holds containers or pods is a slice, and so are
//     the groups between. Its other groups are parts of it all the same.
//   - user@UID.service is a slice where it holds units, else a unit.
//   - A helper belongs to its container, else to its pod; alone it has a row.
//   - An unknown group is a workload where it has no children, else a slice.
func Classify(tree *oom.Tree) {
	p := newPass(tree.Groups)
	p.parse()
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
}

type note struct {
	class      class
	hasChild   bool
	holds      bool // a container or a pod, at whatever depth.
	holdsUnits bool
	anchor     int32 // what a part is a part of.
}

type containerKey struct{ runtime, id string }

func newPass(groups []oom.Group) *pass {
	return &pass{groups: groups, notes: make([]note, len(groups))}
}

// parse reads the paths, each only behind its parent's. Groups are in
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
			parsed = ParsePath(g.Path) // not in pre-order after all.
		default:
			parsed = stack[len(stack)-1].path.child(g.Path, g.Path[strings.LastIndexByte(g.Path, '/')+1:])
		}
		stack = append(stack, step{i, parsed})
		g.Kind, g.Owner, g.Identity = parsed.Kind, i, parsed.Identity()
		p.notes[i].class = parsed.class
		if i == 0 || g.Parent < 0 || g.Parent >= i {
			continue
		}
		above := &p.notes[g.Parent]
		above.hasChild = true
		p.notes[i].anchor = int32(g.Parent)
		if above.class == classPart {
			p.notes[i].anchor = above.anchor
		}
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
		case classContainer, classUnit:
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
				g := &p.groups[j]
				p.containers[containerKey{g.Runtime, g.ContainerID}] = j
			}
		}
	}
	g := &p.groups[i]
	if owner, ok := p.containers[containerKey{g.Runtime, g.ContainerID}]; ok {
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

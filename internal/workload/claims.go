// SPDX-License-Identifier: Apache-2.0

package workload

import "github.com/oom-exporter/oom_exporter/internal/oom"

// contested tells whether cgroups that others than root can have made may claim
// names. On most nodes there are none, and of two of root's the Namer gives the
// name to the one that it sees first.
func (p *pass) contested() bool {
	return p.loosePods || p.standings&(1<<standingUser|1<<standingUnit) != 0
}

// claim is a group that goes by an id or a UID.
type claim struct {
	index    int
	standing standing
	inode    uint64
}

// stronger tells whether c has the name rather than d: by its standing, else
// by its age, since the inode's number grows with every cgroup made.
func (c claim) stronger(d claim) bool {
	if c.standing != d.standing {
		return c.standing > d.standing
	}
	return c.inode != 0 && c.inode < d.inode
}

// claims has the strongest claim so far to each name.
type claims map[string]claim

// add enters a claim; it returns the index of the group that loses by it.
func (all claims) add(name string, c claim) (loser int, lost bool) {
	old, ok := all[name]
	switch {
	case !ok:
		all[name] = c
		return 0, false
	case c.stronger(old):
		all[name] = c
		return old.index, true
	default:
		return c.index, true
	}
}

// refuse finds the groups that claim what others have earned. It tells whether
// there are any.
func (p *pass) refuse() bool {
	p.refused = map[int]bool{}
	p.noUnitKubelet = p.nodeKubelet
	pods, containers, full := claims{}, claims{}, map[string]bool{}
	for i := range p.groups {
		// Two of the same standing are both kubelet's: it was restarted with
		// another driver and left the old one behind.
		if n := &p.notes[i]; n.class == classPod && !p.overruled(i) && pods[p.groups[i].PodUID].standing != n.standing {
			p.enter(pods, p.groups[i].PodUID, i)
		}
	}
	for i := range p.groups {
		g, n := &p.groups[i], &p.notes[i]
		if n.class != classContainer || p.overruled(i) || p.refused[max(g.Parent, 0)] {
			continue
		}
		if isID(g.ContainerID) {
			p.enter(containers, g.ContainerID, i)
		}
		if g.PodUID != "" && !n.loosePod {
			full[g.PodUID] = true
		}
	}
	if p.loosePods {
		p.refuseLoose(pods, full)
	}
	return len(p.refused) > 0 || p.noUnitKubelet && p.standings&(1<<standingUnit) != 0
}

// overruled tells whether the cgroup is below a kubelet root in a unit although
// the node has one outside of units.
func (p *pass) overruled(i int) bool {
	return p.noUnitKubelet && p.notes[i].standing == standingUnit && p.groups[i].PodUID != "" && !p.notes[i].loosePod
}

func (p *pass) enter(all claims, name string, i int) {
	g := &p.groups[i]
	if loser, lost := all.add(name, claim{i, p.notes[i].standing, g.Inode}); lost {
		p.refused[loser] = true
	}
}

// refuseLoose refuses containers whose pod only their own name gives, unless a
// runtime with the cgroupfs driver under a kubelet with systemd's may have made
// them: then the pod's own cgroup has no containers.
func (p *pass) refuseLoose(pods claims, full map[string]bool) {
	for i := range p.groups {
		if !p.notes[i].loosePod || p.notes[i].class != classContainer {
			continue
		}
		uid := p.groups[i].PodUID
		if _, known := pods[uid]; full[uid] || !known && p.noUnitKubelet {
			p.refused[i] = true
		}
	}
}

// refusedIdentity is that of a group whose name another one has: it goes by
// its path.
func refusedIdentity(path string) oom.Identity {
	return parsePath(path, func(_ *Path, at string) facts { return facts{refused: at == path} }).Identity()
}

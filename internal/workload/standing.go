// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/text"
)

// standing says who can have made a group, and so what its name is worth.
// Names are earned by the place, not claimed by the spelling: of two groups
// that claim the same container id or pod UID, the one of higher standing has
// it, and who may make groups in some place only never gets a name that is
// given out in another.
//
//   - What is below a container or a job belongs to it, whatever it is called.
//   - Below user@UID.service the user makes the groups: names there begin with
//     that manager, and none is a pod's.
//   - Below a directory in which others than root may make groups, names mean
//     nothing.
//   - Below a systemd unit may be containers and, where kubelet has no other
//     root on the node, its pods (k3s with the cgroupfs driver).
//   - Elsewhere only root makes groups: kubelet, the runtimes and systemd.
type standing uint8

const (
	standingNone    standing = iota // below somebody else's directory.
	standingUser                    // in a user's territory.
	standingUnit                    // below a systemd unit.
	standingNode                    // nothing above that could have been given away.
	standingKubelet                 // a container in a pod's own group.
)

// below returns the standing of groups below p.
func (p *Path) below() standing {
	switch {
	case p.standing <= standingUser:
		return p.standing
	case p.class == classPod && p.standing == standingNode:
		return standingKubelet
	case p.class == classUnit || p.class == classPart:
		return min(p.standing, standingUnit)
	default:
		return p.standing
	}
}

// mayHoldPods tells whether kubelet or its runtime can have made the group.
func (p *Path) mayHoldPods() bool { return p.standing >= standingUnit }

// delegate takes note that the group was given away. In a user's territory
// that is as it should be, and a container's or unit's stays its own.
func (p *Path) delegate() {
	switch {
	case p.anchored():
		p.sealed = true
	case p.realm == "":
		p.standing = standingNone
	}
}

// asUser recognises where a user's territory begins. Its name is that of the
// user's service manager, also where the session has none.
func (p *Path) asUser(parent *Path, path string) bool {
	uid, ok := cutAround(p.segment, "user-", ".slice")
	if !ok || !isNumber(uid) || parent.segment != "user.slice" || p.realm != "" {
		return false
	}
	p.realm, p.standing = "user@"+uid+".service", standingUser
	p.Unit = p.segment
	p.become(classSlice, text.Label(path))
	return true
}

// claimed makes a label of a name that somebody gave a container: one that
// looks like a unit's or a path is told from those by the runtime in front of
// it, and one in a user's territory by the user's manager.
func claimed(realm, runtime, name string) string {
	if strings.ContainsRune(name, '/') || looksLikeUnit(name) {
		name = runtime + "/" + name
	}
	if realm != "" {
		name = realm + "/" + name
	}
	return text.Label(name)
}

// looksLikeUnit tells whether a name could be that of a systemd unit.
func looksLikeUnit(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 {
		return false
	}
	switch name[dot:] {
	case ".service", ".scope", ".slice", ".mount", ".socket", ".swap":
		return true
	default:
		return false
	}
}

// refusedName is the label of a group whose name another one has: its path,
// without what was made up for it.
func refusedName(path string) string {
	slash := strings.LastIndexByte(path, '/') + 1
	return text.Label(path[:slash] + foldTokens(path[slash:]))
}

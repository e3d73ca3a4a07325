// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/text"
)

// standing says who could have made a cgroup, and so how much its name is worth.
// A name is earned by the place of the cgroup, not by its spelling: of two
// cgroups that claim the same container id or pod UID, the one of higher standing
// gets it, and whoever can make cgroups only in one place never gets a name that
// belongs to another place.
//
//   - What is below a container or a job belongs to it, whatever it is called.
//   - Below user@UID.service the user makes the cgroups: names there begin with
//     the name of that unit, and none is a pod's.
//   - Below a directory in which users other than root may make cgroups, names
//     mean nothing.
//   - A systemd unit may hold containers and, where kubelet has no other root
//     cgroup on the node, its pods (k3s with the cgroupfs driver).
//   - Elsewhere only root makes cgroups: kubelet, the runtimes and systemd.
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

// delegate notes that the cgroup's directory was given to another user. In a
// user's territory that is expected, and a container or unit still owns what is
// below it.
func (p *Path) delegate() {
	switch {
	case p.anchored():
		p.sealed = true
	case p.realm == "":
		p.standing = standingNone
	}
}

// asUser recognises where a user's territory begins: at user-UID.slice. The
// territory is named after the user's service manager, even if none runs.
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

// claimed returns the label for a name that somebody gave a container. A name that
// looks like a unit's or a path is prefixed with the runtime, to tell it from
// those, and one in a user's territory with the user's manager.
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

// refusedName returns the label of a cgroup whose name belongs to another one: its
// path, with each generated id in the last segment replaced by *.
func refusedName(path string) string {
	slash := strings.LastIndexByte(path, '/') + 1
	return text.Label(path[:slash] + foldTokens(path[slash:]))
}

// SPDX-License-Identifier: Apache-2.0

// Package workload tells what a memory cgroup belongs to: first what its path
// alone says (runtime, container id, pod UID, QoS class, systemd unit), then the
// names that people know it by, from the node's own files or its container
// runtime. Paths and names are written by others, also by unprivileged users, so
// a name must be earned by the place of the cgroup: see the type standing.
package workload

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// The runtimes as Identity.Runtime has them.
const (
	runtimeBuildah    = "buildah"
	runtimeBuildKit   = "buildkit"
	runtimeContainerd = "containerd"
	runtimeCRIO       = "cri-o"
	runtimeDocker     = "docker"
	runtimeKata       = "kata"
	runtimeLibvirt    = "libvirt"
	runtimeLXC        = "lxc"
	runtimeNspawn     = "nspawn"
	runtimePodman     = "podman"
	runtimeSlurm      = "slurm"
	runtimeSystemd    = "systemd"
)

// class is what a segment makes of a group, before the tree has its say.
type class uint8

const (
	classRoot      class = iota
	classSlice           // never a row of its own: a .slice, kubepods, /docker.
	classManager         // user@UID.service: a slice as soon as it holds units.
	classPod             // a Kubernetes pod.
	classContainer       // a container of some runtime.
	classUnit            // a systemd unit that is no slice, or a batch system's job.
	classHelper          // a runtime's helper beside its container.
	classPart            // below a container, a unit or a helper.
	classOther           // nothing we know.
)

// kubeState says how far into kubelet's hierarchy a path has come.
type kubeState uint8

const (
	kubeNone kubeState = iota
	kubeRoot           // .../kubepods
	kubeQoS            // .../kubepods/burstable
)

// Path is what a cgroup path alone says. A group below a container or a unit
// has all the fields of that container or unit.
type Path struct {
	Runtime     string // empty if the path does not tell.
	ContainerID string // full id; an LXC container's or ctr's own name.
	PodUID      string // with dashes, or 32 hex digits for a static pod.
	Unit        string // systemd unit, as in the path.
	Name        string // what stands in the container label until a better name is found.
	QoS         oom.QoS
	// Kind is what the group is unless the tree says otherwise: whether a
	// unit holds containers, or an unknown group is a leaf, is not in a path.
	Kind    oom.Kind
	Helper  bool // conmon, lxc.monitor.
	StandIn bool // Name, or the pod's name, is an id.

	class    class
	kube     kubeState
	standing standing
	sealed   bool   // what is below belongs to it, whatever it is called.
	loosePod bool   // the pod is in the group's own name, not above it.
	kubelet  string // path of the kubelet's root that the group is below.
	row      string // path of the container, unit or job that the group belongs to.
	realm    string // the user@UID.service in whose territory the path is,
	managed  bool   // and it is below that.
	segment  string
}

// facts are what is known of a group beyond its path.
type facts struct {
	refused   bool // another group has earned the name that this one claims.
	delegated bool // its directory is not root's: its owner makes the groups below.
	// noUnitKubelet says that kubelet's root is elsewhere, so that none is
	// below a systemd unit.
	noUnitKubelet bool
}

// ParsePath reads a cgroup path. It never fails: a path that says nothing is
// its own name.
func ParsePath(path string) Path {
	return parsePath(path, func(*Path, string) facts { return facts{} })
}

// parsePath reads a path about which more is known; know is asked about each
// cgroup on the way, with its parent.
func parsePath(path string, know func(parent *Path, path string) facts) Path {
	p := rootPath()
	for start := 0; start < len(path); {
		if path[start] == '/' {
			start++
			continue
		}
		end := len(path)
		if i := strings.IndexByte(path[start:], '/'); i >= 0 {
			end = start + i
		}
		p = p.child(path[:end], path[start:end], know(&p, path[:end]))
		start = end
	}
	return p
}

func rootPath() Path {
	return Path{Kind: oom.KindRoot, Name: "/", standing: standingNode}
}

// IsWorkload tells whether the group belongs to one workload, with all that is
// below it.
func (p Path) IsWorkload() bool { return p.anchored() }

// Identity returns what the path says in the words of the model; its names
// are stand-ins where StandIn is set.
func (p Path) Identity() oom.Identity {
	return oom.Identity{
		Workload:    oom.Workload{Pod: p.PodUID, Container: p.Name},
		Runtime:     p.Runtime,
		ContainerID: p.ContainerID,
		PodUID:      p.PodUID,
		Unit:        p.Unit,
		QoS:         p.QoS,
		StandIn:     p.StandIn,
	}
}

// child returns what the group named segment below p is; path is its path.
func (p *Path) child(path, segment string, f facts) Path {
	c := Path{
		PodUID: p.PodUID, QoS: p.QoS, kube: p.kube, kubelet: p.kubelet, row: path,
		standing: p.below(), realm: p.realm, managed: p.managed, segment: segment,
	}
	if f.refused {
		c.PodUID, c.QoS, c.kube, c.standing = "", "", kubeNone, standingNone
	}
	switch {
	case p.sealed, c.standing == standingNone && p.anchored():
		c.hold(p, path)
	case f.refused:
		c.sealed = true
		c.become(classUnit, refusedName(path))
	case c.standing == standingNone:
		c.become(classOther, text.Label(path))
	case c.asContainer(p, path), c.asPod(p), c.asMachine(p), c.asLXC(p), c.asBuild(p, path):
	case c.asKubepods(p, path, f):
		c.hold(p, path)
	case p.anchored():
		c.hold(p, path)
	case c.asUser(p, path), c.asUnit(path), c.asJob(p, path):
	case holdsOthers(path, segment):
		c.hold(p, path)
	default:
		c.become(classOther, text.Label(path))
	}
	if f.delegated {
		c.delegate()
	}
	return c
}

// become sets what the group is and the name it goes by.
func (p *Path) become(class class, name string) {
	p.class, p.Name = class, name
	switch class {
	case classPod:
		p.Kind = oom.KindPod
	case classSlice:
		p.Kind = oom.KindSlice
	case classHelper, classPart:
		p.Kind = oom.KindPart
	default:
		p.Kind = oom.KindContainer
	}
	p.sealed = p.sealed || class == classContainer || class == classHelper
}

// hold makes the group a part of the container or unit around it, else a
// slice that goes by its path.
func (p *Path) hold(parent *Path, path string) {
	if !parent.anchored() {
		p.become(classSlice, text.Label(path))
		return
	}
	p.Runtime, p.ContainerID, p.Unit = parent.Runtime, parent.ContainerID, parent.Unit
	p.Helper, p.StandIn, p.sealed, p.row = parent.Helper, parent.StandIn, parent.sealed, parent.row
	p.become(classPart, parent.Name)
}

// anchored tells whether groups below p are parts of it, or of what it is a
// part of.
func (p *Path) anchored() bool {
	switch p.class {
	case classContainer, classUnit, classHelper, classPart:
		return true
	default:
		return false
	}
}

// holdsOthers knows the groups that runtimes make only to put containers in.
func holdsOthers(path, segment string) bool {
	switch segment {
	case "default":
		return path == "/default" // ctr's.
	case "buildkit", "docker", "ecs", "k8s.io", "libpod_parent", "lxc", "lxc.payload", "lxc.monitor":
		return true
	default:
		return false
	}
}

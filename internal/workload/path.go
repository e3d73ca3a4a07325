// SPDX-License-Identifier: Apache-2.0

// Package workload tells who a memory cgroup is: first what its path alone
// says (runtime, container id, pod UID, QoS class, systemd unit), then the
// names that people know it by, from the node's own files or its container
// runtime. Paths and names are written by others, also by people without
// rights, so all of it is text to be judged.
package workload

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The runtimes as they stand in Identity.Runtime.
const (
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
	classUnit            // a systemd unit that is no slice.
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
	// container holds others, or an unknown group is a leaf, is not in a path.
	Kind    oom.Kind
	Helper  bool // conmon, lxc.monitor.
	Nested  bool // inside a container.
	StandIn bool // Name, or the pod's name, is an id.

	class   class
	kube    kubeState
	manager string // the user@UID.service that the path is below.
	segment string
}

// ParsePath reads a cgroup path. It never fails: a path that says nothing is
// its own name.
func ParsePath(path string) Path {
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
		p = p.child(path[:end], path[start:end])
		start = end
	}
	return p
}

func rootPath() Path {
	return Path{Kind: oom.KindRoot, Name: "/"}
}

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
func (p *Path) child(path, segment string) Path {
	c := Path{
		PodUID: p.PodUID, QoS: p.QoS, kube: p.kube, manager: p.manager, segment: segment,
		Nested: p.Nested || p.class == classContainer,
	}
	switch {
	case c.asContainer(p, path), c.asPod(p), c.asMachine(p), c.asLXC(p):
	case c.asKubepods(p):
		c.hold(p, path)
	case p.anchored():
		c.hold(p, path)
	case c.asUnit(path), c.asJob(path):
	case holdsOthers(path, segment):
		c.hold(p, path)
	default:
		c.become(classOther, Clean(path, maxLabel))
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
}

// hold makes the group a part of the container or unit around it, else a
// slice that goes by its path.
func (p *Path) hold(parent *Path, path string) {
	if !parent.anchored() {
		p.become(classSlice, Clean(path, maxLabel))
		return
	}
	p.Runtime, p.ContainerID, p.Unit = parent.Runtime, parent.ContainerID, parent.Unit
	p.Helper, p.StandIn = parent.Helper, parent.StandIn
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
	case "docker", "ecs", "k8s.io", "libpod_parent", "lxc", "lxc.payload", "lxc.monitor":
		return true
	default:
		return false
	}
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

const (
	idDigits    = 64 // every runtime's ids are 32 random bytes in hex.
	shortDigits = 12 // how many of them people see.
)

// findPrefix tells which runtime's container or helper a cgroup is from what comes
// before the id; .scope may follow the id.
func findPrefix(text string) (runtime string, helper, ok bool) {
	switch text {
	case "cri-containerd-", "nerdctl-":
		return runtimeContainerd, false, true
	case "crio-":
		return runtimeCRIO, false, true
	case "crio-conmon-":
		return runtimeCRIO, true, true
	case "docker-":
		return runtimeDocker, false, true
	case "kata_":
		return runtimeKata, false, true
	case "libpod-", "libpod-payload-": // the second is of --cgroups=split, quadlet's.
		return runtimePodman, false, true
	case "libpod-conmon-":
		return runtimePodman, true, true
	default:
		return "", false, false
	}
}

// asContainer recognises a runtime's container or helper by its id.
func (p *Path) asContainer(parent *Path, path string) bool {
	segment := p.segment
	if slice, prefix, id, ok := splitColons(segment); ok {
		if uid, qos, ok := parsePodSlice(slice); ok && p.mayHoldPods() {
			p.takePod(uid, qos)
			p.loosePod = true
		}
		runtime, _, _ := findPrefix(prefix + "-")
		p.takeID(runtime, id, false)
		return true
	}
	base, scope := strings.CutSuffix(segment, ".scope")
	if id := base[max(0, len(base)-idDigits):]; isID(id) {
		prefix := base[:len(base)-idDigits]
		runtime, helper, ok := findPrefix(prefix)
		switch {
		case prefix == "" && parent.segment == "libpod_parent":
			return false // a Podman pod.
		case prefix == "":
			runtime, ok = bareRuntime(parent, path), true
		case scope && strings.HasSuffix(prefix, "-"):
			ok = true
		}
		if ok {
			p.takeID(runtime, id, helper)
			return true
		}
	}
	switch {
	case parent.class == classPod:
		p.StandIn = true
		p.become(classContainer, text.Label(segment))
		return true
	case parent.segment == "default" && len(path) == len("/default/")+len(segment):
		// ctr's and nerdctl's default namespace: the id is the name.
		p.Runtime, p.ContainerID = runtimeContainerd, segment
		p.become(classContainer, claimed("", p.Runtime, segment))
		return true
	default:
		return false
	}
}

// takeID makes the group the container with that id, or its helper.
func (p *Path) takeID(runtime, id string, helper bool) {
	p.ContainerID, p.Runtime, p.Helper, p.StandIn = id, runtime, helper, true
	name := id[:shortDigits]
	if p.realm != "" {
		name = claimed(p.realm, runtime, name)
	}
	if helper {
		p.become(classHelper, name)
		return
	}
	p.become(classContainer, name)
}

// bareRuntime guesses the runtime of a container whose cgroup is named by the id
// alone; under kubelet's cgroupfs driver the path does not tell it.
func bareRuntime(parent *Path, path string) string {
	switch {
	case parent.segment == "docker", strings.HasPrefix(path, "/ecs/"):
		return runtimeDocker
	case parent.segment == "default", parent.segment == "k8s.io":
		return runtimeContainerd
	default:
		return ""
	}
}

// splitColons reads slice:prefix:id, which a runtime with the cgroupfs driver
// makes of a path that was meant for systemd.
func splitColons(segment string) (slice, prefix, id string, ok bool) {
	slice, rest, ok := strings.Cut(segment, ":")
	if !ok {
		return "", "", "", false
	}
	prefix, id, ok = strings.Cut(rest, ":")
	return slice, prefix, id, ok && isID(id)
}

// takePod notes the pod of the group. Kubelet's hierarchy ends there.
func (p *Path) takePod(uid string, qos oom.QoS) {
	p.PodUID, p.QoS, p.kube = text.Label(uid), qos, kubeNone
}

// asPod recognises the group of a pod, which is nowhere but in kubelet's
// hierarchy.
func (p *Path) asPod(parent *Path) bool {
	if parent.kube == kubeNone {
		return false
	}
	uid, qos, ok := parsePodSlice(p.segment)
	if !ok {
		uid, ok = strings.CutPrefix(p.segment, "pod")
		qos = parent.QoS
		if parent.kube == kubeRoot {
			qos = oom.QoSGuaranteed
		}
	}
	if !ok || uid == "" {
		return false
	}
	p.takePod(uid, qos)
	p.StandIn = true
	p.become(classPod, "")
	return true
}

// asKubepods notes how far into kubelet's hierarchy the path goes. What kind
// of group it is depends on what is around it.
func (p *Path) asKubepods(parent *Path, path string, f facts) bool {
	if !p.mayHoldPods() {
		return false
	}
	name, isSlice := strings.CutSuffix(p.segment, ".slice")
	if name == "kubepods" || isSlice && strings.HasSuffix(name, "-kubepods") {
		if f.noUnitKubelet && p.standing == standingUnit {
			return false
		}
		p.kube, p.QoS, p.kubelet = kubeRoot, "", path
		return true
	}
	if parent.kube != kubeRoot {
		return false
	}
	if isSlice {
		name = name[strings.LastIndexByte(name, '-')+1:]
	}
	switch qos := oom.QoS(name); qos {
	case oom.QoSGuaranteed, oom.QoSBurstable, oom.QoSBestEffort:
		p.kube, p.QoS = kubeQoS, qos
		return true
	default:
		return false
	}
}

// parsePodSlice reads [PREFIX-]kubepods[-QOS]-podUID.slice, in which the UID's
// dashes are underscores, as kubelet writes them, or escaped as \x2d.
func parsePodSlice(segment string) (uid string, qos oom.QoS, ok bool) {
	name, ok := strings.CutSuffix(segment, ".slice")
	if !ok {
		return "", "", false
	}
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return "", "", false
	}
	uid, ok = strings.CutPrefix(name[dash+1:], "pod")
	if !ok || uid == "" {
		return "", "", false
	}
	above := name[:dash]
	qos = oom.QoSGuaranteed
	for _, class := range [...]oom.QoS{oom.QoSBurstable, oom.QoSBestEffort} {
		if rest, ok := strings.CutSuffix(above, "-"+string(class)); ok {
			above, qos = rest, class
			break
		}
	}
	if above != "kubepods" && !strings.HasSuffix(above, "-kubepods") {
		return "", "", false
	}
	return strings.ReplaceAll(unescapeUnit(uid), "_", "-"), qos, true
}

// asBuild recognises a step of an image build, for which BuildKit and Buildah make
// a cgroup that lives for seconds: all steps in one place get one name.
func (p *Path) asBuild(parent *Path, path string) bool {
	if parent.anchored() {
		return false
	}
	name := strings.TrimSuffix(p.segment, ".scope")
	start := strings.LastIndexAny(name, ":-") + 1
	id := name[start:]
	number, ok := strings.CutPrefix(id, "buildah")
	switch {
	case ok && len(number) >= 6 && isNumber(number):
		p.Runtime = runtimeBuildah
	case isBuildID(id) && (parent.segment == "buildkit" || start > 0 && name[start-1] == ':'):
		p.Runtime = runtimeBuildKit
	default:
		return false
	}
	p.sealed = true
	folded := path[:len(path)-len(p.segment)+start] + "*"
	if p.realm != "" {
		folded = p.realm + "/" + p.Runtime
	}
	p.become(classUnit, text.Label(folded))
	return true
}

// isBuildID tells whether s is one of BuildKit's ids: 25 digits in base 36
// (github.com/moby/buildkit/identity).
func isBuildID(s string) bool {
	if len(s) != 25 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// isID tells whether s is a full container id.
func isID(s string) bool { return len(s) == idDigits && isHex(s) }

func isHex(s string) bool {
	for i := range len(s) {
		if !isHexDigit(s[i]) {
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

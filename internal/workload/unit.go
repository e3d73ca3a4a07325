// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strconv"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/text"
)

// asUnit recognises a systemd unit by its suffix.
func (p *Path) asUnit(path string) bool {
	dot := strings.LastIndexByte(p.segment, '.')
	if dot <= 0 {
		return false
	}
	switch p.segment[dot:] {
	case ".slice":
		p.Unit = p.segment
		p.become(classSlice, text.Label(path))
		return true
	case ".service", ".scope", ".mount", ".socket", ".swap":
	default:
		return false
	}
	p.Unit, p.Runtime = p.segment, runtimeSystemd
	uid, ok := strings.CutPrefix(p.segment[:dot], "user@")
	switch {
	case ok && isNumber(uid) && p.segment[dot:] == ".service" && !p.managed && (p.realm == "" || p.realm == p.segment):
		p.realm, p.managed, p.standing = p.segment, true, standingUser
		p.become(classManager, p.segment)
	case strings.HasSuffix(p.segment, "slurmstepd.scope"):
		p.Runtime = runtimeSlurm // it only holds the jobs.
		p.become(classSlice, text.Label(path))
	case p.realm != "" && (p.managed || !isSession(p.segment)):
		p.become(classUnit, text.Label(p.realm+"/"+foldUnit(p.segment)))
	default:
		p.become(classUnit, text.Label(foldUnit(p.segment)))
	}
	return true
}

// asMachine recognises what systemd-machined has registered: nspawn's
// containers and libvirt's guests. They go by the machine's name.
func (p *Path) asMachine(parent *Path) bool {
	if parent.anchored() || p.standing == standingUser {
		return false // a user's is a unit like any other.
	}
	name, ok := cutAround(p.segment, "machine-", ".scope")
	if !ok {
		name, ok = cutAround(p.segment, "systemd-nspawn@", ".service")
	}
	if !ok {
		return false
	}
	p.Unit, p.Runtime = p.segment, runtimeNspawn
	name = unescapeUnit(name)
	for _, driver := range [...]string{"qemu-", "lxc-"} {
		// libvirt numbers its guests: machine-qemu\x2d3\x2dNAME.scope.
		rest, ok := strings.CutPrefix(name, driver)
		if number, guest, found := strings.Cut(rest, "-"); ok && found && isNumber(number) && guest != "" {
			name, p.Runtime = guest, runtimeLibvirt
		}
	}
	p.become(classContainer, claimed("", p.Runtime, name))
	return true
}

// asLXC recognises the groups of LXC, LXD and Incus. A user may have some, also
// in a session's scope; what is below any other unit is a part of that.
func (p *Path) asLXC(parent *Path) bool {
	if parent.anchored() && p.standing != standingUser {
		return false
	}
	name, ok := strings.CutPrefix(p.segment, "lxc.payload.")
	if !ok {
		if name, p.Helper = strings.CutPrefix(p.segment, "lxc.monitor."); !p.Helper {
			switch parent.segment {
			case "lxc", "lxc.payload":
			case "lxc.monitor":
				p.Helper = true
			default:
				return false
			}
		}
	}
	if name == "" {
		p.Helper = false
		return false
	}
	p.Runtime, p.ContainerID = runtimeLXC, name
	if name = claimed(p.realm, runtimeLXC, name); p.Helper {
		p.become(classHelper, name)
	} else {
		p.become(classContainer, name)
	}
	return true
}

// asJob recognises a Slurm job, on v1 /slurm/uid_1000/job_7, on v2 below
// slurmstepd.scope; since Slurm 26 it goes by its SLUID, s5K1KKYAYG5D00. Its
// name is its path, and its steps and tasks are parts of it.
func (p *Path) asJob(parent *Path, path string) bool {
	if p.standing != standingNode {
		return false
	}
	switch _, underUID := cutNumber(parent.segment, "uid_"); {
	case parent.Runtime == runtimeSlurm && p.segment != "system":
	case underUID && strings.HasPrefix(path, "/slurm"):
	default:
		if _, ok := cutNumber(p.segment, "job_"); !ok || !strings.Contains(path, "/slurm") {
			return false
		}
	}
	p.Runtime, p.sealed = runtimeSlurm, true
	p.become(classUnit, text.Label(path))
	return true
}

// cutNumber returns the number after prefix.
func cutNumber(s, prefix string) (string, bool) {
	number, ok := strings.CutPrefix(s, prefix)
	return number, ok && isNumber(number)
}

func cutAround(s, prefix, suffix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", false
	}
	s, ok = strings.CutSuffix(s, suffix)
	return s, ok && s != ""
}

// unescapeUnit undoes systemd's \xHH.
func unescapeUnit(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && len(s) >= i+4 {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

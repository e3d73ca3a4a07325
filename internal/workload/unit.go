// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strconv"
	"strings"
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
		p.become(classSlice, Clean(path, maxLabel))
		return true
	case ".service", ".scope", ".mount", ".socket", ".swap":
	default:
		return false
	}
	p.Unit, p.Runtime = p.segment, runtimeSystemd
	uid, ok := strings.CutPrefix(p.segment[:dot], "user@")
	switch {
	case ok && isNumber(uid) && p.segment[dot:] == ".service":
		p.manager = p.segment
		p.become(classManager, p.segment)
	case strings.HasSuffix(p.segment, "slurmstepd.scope"):
		p.Runtime = runtimeSlurm // it only holds the jobs.
		p.become(classSlice, Clean(path, maxLabel))
	case p.manager != "":
		p.become(classUnit, Clean(p.manager+"/"+foldUnit(p.segment), maxLabel))
	default:
		p.become(classUnit, Clean(foldUnit(p.segment), maxLabel))
	}
	return true
}

// asMachine recognises what systemd-machined has registered: nspawn's
// containers and libvirt's guests. They go by the machine's name.
func (p *Path) asMachine(parent *Path) bool {
	if parent.anchored() {
		return false
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
		// libvirt counts its guests: machine-qemu\x2d3\x2dNAME.scope.
		rest, ok := strings.CutPrefix(name, driver)
		if number, guest, found := strings.Cut(rest, "-"); ok && found && isNumber(number) && guest != "" {
			name, p.Runtime = guest, runtimeLibvirt
		}
	}
	p.become(classContainer, Clean(name, maxLabel))
	return true
}

// asLXC recognises the groups of LXC, LXD and Incus.
func (p *Path) asLXC(parent *Path) bool {
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
	if p.Helper {
		p.become(classHelper, Clean(name, maxLabel))
	} else {
		p.become(classContainer, Clean(name, maxLabel))
	}
	return true
}

// asJob recognises a Slurm job, on v1 /slurm/uid_1000/job_7, on v2 below
// slurmstepd.scope. Its name is its path; its steps are parts of it.
func (p *Path) asJob(path string) bool {
	number, ok := strings.CutPrefix(p.segment, "job_")
	if !ok || !isNumber(number) || !strings.Contains(path, "/slurm") && !strings.Contains(path, "slurmstepd.scope/") {
		return false
	}
	p.Runtime = runtimeSlurm
	p.become(classUnit, Clean(path, maxLabel))
	return true
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

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// ownerOf says whose a memory cgroup is, in words for people: the innermost unit or
// container in its path, and what holds that. It is empty where only the path is
// known.
func ownerOf(path string) string {
	outer, end := outermost(path)
	if end == 0 {
		return people(workload.ParsePath(path).Identity())
	}
	name := people(outer.Identity())
	if name == "" || isNumber(name) || outer.Runtime == "lxc" {
		name = path[:end]
	}
	if inner := ownerOf(path[end:]); inner != "" && inner != name {
		return inner + " in " + name
	}
	return name
}

// outermost returns the first container or unit on a path, and where its own
// path ends; 0 if there is none.
func outermost(path string) (workload.Path, int) {
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != '/' {
			continue
		}
		p := workload.ParsePath(path[:end])
		if p.Kind == oom.KindContainer && (p.Runtime != "" || p.Unit != "" || p.ContainerID != "") {
			return p, end
		}
	}
	return workload.Path{}, 0
}

// isNumber tells whether a name has only digits, and so says nothing to people.
func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strconv"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// choice is who was to be killed, and by whose limit: the oom-kill line since
// 5.0, "Task in … killed as a result of limit of …" before.
type choice struct {
	constraint oom.Constraint
	cpuset     string
	// NUMA nodes: of the memory policy, and of the cpuset.
	nodeMask, memsAllowed string
	global                bool
	limitPath             string
	victimPath            string
	comm                  string
	pid                   int
	uid                   oom.Amount
	whole                 bool
}

const (
	oomKillPrefix = "oom-kill:constraint="
	taskInPrefix  = "Task in "
	taskInMiddle  = " killed as a result of limit of "
	reachedPrefix = "Memory limit reached of cgroup "
	// cutBytes is near where printk cuts a record: a path that ends there
	// may have lost its end.
	cutBytes = 900
)

// startsChoice tells whether a text is the beginning of a choice.
func startsChoice(s string) bool {
	return strings.HasPrefix(s, oomKillPrefix) || strings.HasPrefix(s, taskInPrefix)
}

// wholeChoice tells whether nothing is missing at the end of a choice.
func wholeChoice(s string) bool {
	if after, ok := strings.CutPrefix(s, taskInPrefix); ok {
		return strings.Contains(after, taskInMiddle+"/")
	}
	rest, _, ok := cutLast(s, ",uid=", 64)
	if !ok {
		return false
	}
	_, _, ok = cutLast(rest, ",pid=", 31)
	return ok
}

// continues tells whether next can be the piece that follows an unfinished
// choice. The pieces are those of pr_cont calls: each begins with a comma and
// a key, or is a path after its key. certain says that the kernel marked next
// as a continuation.
func continues(s, next string, certain bool) bool {
	switch {
	case strings.HasSuffix(s, ",cpuset="):
		return certain
	case strings.HasSuffix(s, "memcg="), strings.HasSuffix(s, taskInPrefix), strings.HasSuffix(s, taskInMiddle):
		path, _, _ := strings.Cut(next, ",task")
		return strings.HasPrefix(next, "/") && (certain || !strings.Contains(path, " "))
	case strings.HasPrefix(s, taskInPrefix):
		return strings.HasPrefix(next, " killed") || strings.HasPrefix(next, " as a result of limit of")
	}
	for _, piece := range []string{",cpuset=", ",mems_allowed=", ",oom_memcg=", ",global_oom", ",task_memcg=", ",task="} {
		if strings.HasPrefix(next, piece) {
			return true
		}
	}
	return false
}

// parseChoice reads as much of a choice as is there.
func parseChoice(s string) choice {
	if after, ok := strings.CutPrefix(s, taskInPrefix); ok {
		return parseTaskIn(after)
	}
	var c choice
	after, ok := strings.CutPrefix(s, oomKillPrefix)
	if !ok {
		return c
	}
	name, rest, _ := strings.Cut(after, ",")
	c.constraint = oom.Constraint(strings.TrimPrefix(name, "CONSTRAINT_"))
	c.whole = wholeChoice(s)
	if c.whole {
		rest, c.uid, _ = cutLast(rest, ",uid=", 64)
		var pid oom.Amount
		rest, pid, _ = cutLast(rest, ",pid=", 31)
		c.pid = int(pid.Or(0))
	}
	if _, cpuset, ok := strings.Cut(rest, ",cpuset="); ok {
		c.cpuset, cpuset, _ = strings.Cut(cpuset, ",mems_allowed=")
		c.memsAllowed = nodeList(cpuset)
	}
	if mask, ok := strings.CutPrefix(rest, "nodemask="); ok {
		c.nodeMask = nodeList(mask)
	}
	// A cpuset's name holds no slash, so that these keys can't be forged
	// before they come.
	_, paths, memcg := strings.Cut(rest, ",oom_memcg=/")
	_, task, global := strings.Cut(rest, ",global_oom")
	switch {
	case memcg && (!global || len(paths) > len(task)):
		c.limitPath, paths = splitPaths("/" + paths)
	case global:
		c.global = true
		paths = strings.TrimPrefix(task, ",task_memcg=")
	default:
		return c
	}
	c.victimPath, c.comm = splitTask(paths, c.whole)
	if !c.whole && len(s) >= cutBytes {
		c.forgetCut()
	}
	return c
}

// nodeList cuts a list of NUMA nodes, like 0-1,4, from the beginning of s.
func nodeList(s string) string {
	n := 0
	for n < len(s) && (isDigit(s[n]) || s[n] == '-' || s[n] == ',') {
		n++
	}
	return strings.TrimSuffix(s[:n], ",")
}

// forgetCut drops the path at the end of a cut line.
func (c *choice) forgetCut() {
	if c.victimPath != "" {
		c.victimPath = ""
		return
	}
	c.limitPath = ""
}

// splitPaths splits `/limit,task_memcg=/limit/victim,task=…`. A path may hold
// the separator, but the victim's cgroup is the limit's or below it.
func splitPaths(s string) (limit, rest string) {
	const key = ",task_memcg="
	first := -1
	for i := 0; ; {
		n := strings.Index(s[i:], key)
		if n < 0 {
			break
		}
		i += n
		limit, rest := s[:i], s[i+len(key):]
		if inside(rest, limit) {
			return limit, rest
		}
		if first < 0 {
			first = i
		}
		i += len(key)
	}
	if first < 0 {
		return s, ""
	}
	return s[:first], s[first+len(key):]
}

// inside tells whether the path at the beginning of s is parent or below it.
func inside(s, parent string) bool {
	if parent == "/" {
		return strings.HasPrefix(s, "/")
	}
	after, ok := strings.CutPrefix(s, parent)
	return ok && (after == "" || after[0] == '/' || strings.HasPrefix(after, ",task="))
}

// splitTask splits `/path,task=comm`. Both may hold the separator; a comm has
// at most 15 bytes, and the longest one that fits is taken.
func splitTask(s string, whole bool) (path, comm string) {
	const key = ",task="
	if !whole {
		path, _, _ = strings.Cut(s, key)
		return path, ""
	}
	from := max(0, len(s)-maxComm-len(key))
	i := strings.Index(s[from:], key)
	if i < 0 {
		return s, ""
	}
	return s[:from+i], s[from+i+len(key):]
}

// parseTaskIn parses what follows "Task in " up to 4.20.
func parseTaskIn(s string) choice {
	c := choice{constraint: oom.ConstraintMemcg}
	for i := 0; ; {
		n := strings.Index(s[i:], taskInMiddle)
		if n < 0 {
			break
		}
		i += n
		victim, limit := s[:i], s[i+len(taskInMiddle):]
		if !c.whole {
			c.victimPath, c.limitPath, c.whole = victim, limit, strings.HasPrefix(limit, "/")
		}
		if inside(victim, limit) {
			c.victimPath, c.limitPath, c.whole = victim, limit, true
			break
		}
		i += len(taskInMiddle)
	}
	return c
}

// cutLast cuts `KEYnumber` off the end of s.
func cutLast(s, key string, bits int) (string, oom.Amount, bool) {
	i := strings.LastIndex(s, key)
	if i < 0 || !allDigits(s[i+len(key):]) {
		return s, oom.Amount{}, false
	}
	n, err := strconv.ParseUint(s[i+len(key):], 10, bits)
	if err != nil {
		return s, oom.Amount{}, false
	}
	return s[:i], oom.Of(n), true
}

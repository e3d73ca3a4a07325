// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strconv"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const invokedKey = " invoked oom-killer: gfp_mask="

// parseInvoked parses "COMM invoked oom-killer: gfp_mask=…, order=…,
// oom_score_adj=…", the first line of a report.
func parseInvoked(s string) (oom.Trigger, bool) {
	i := strings.Index(s, invokedKey)
	if i < 0 || i > maxComm {
		return oom.Trigger{}, false
	}
	t := oom.Trigger{Comm: s[:i]}
	rest := s[i+len(invokedKey):]
	mask, rest, ok := strings.Cut(rest, ", ")
	t.GFPMask = mask
	for field := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		n, err := strconv.ParseInt(value, 10, 16)
		switch {
		case err != nil:
		case key == "order":
			t.Order = int(n)
		case key == "oom_score_adj":
			t.Adj = int(n)
		}
	}
	return t, ok
}

// parseCPU parses the head of the stack trace: "CPU: 0 [UID: 0 ]PID: 123 Comm:
// hog Not tainted 6.1.0 #1 …".
func parseCPU(s string) (pid int, comm, release string, ok bool) {
	if after, ok := strings.CutPrefix(s, "Pid: "); ok { // up to 3.9.
		s = "CPU: PID: " + strings.Replace(after, ", comm: ", " Comm: ", 1)
	}
	if !strings.HasPrefix(s, "CPU: ") {
		return 0, "", "", false
	}
	head, rest, ok := strings.Cut(s, " Comm: ")
	i := strings.LastIndex(head, "PID: ")
	if !ok || i < 0 {
		return 0, "", "", false
	}
	if pid, ok = parsePID(head[i+len("PID: "):], true); !ok {
		return 0, "", "", false
	}
	for _, word := range []string{" Not tainted ", " Tainted: "} {
		if n := strings.LastIndex(rest, word); n >= 0 && n <= maxComm {
			comm, rest = rest[:n], rest[n+len(word):]
			break
		}
	}
	for word := range strings.FieldsSeq(rest) {
		if oom.ParseRelease(word).Major > 1 && strings.Contains(word, ".") {
			return pid, comm, word, true
		}
	}
	return pid, comm, "", true
}

// parseSuppressed parses the rate limit's "oom_kill_process: 38 callbacks
// suppressed"; before 4.19 the function was dump_header.
func parseSuppressed(s string) (uint64, bool) {
	for _, f := range []string{"oom_kill_process: ", "dump_header: "} {
		if after, ok := strings.CutPrefix(s, f); ok {
			digits, ok := strings.CutSuffix(after, " callbacks suppressed")
			n, known := parseNumber(digits).Get()
			return n, ok && known
		}
	}
	return 0, false
}

// parseUsage parses "memory: usage 1kB, limit 1kB, failcnt 1" and its like.
func parseUsage(s string) (name string, u Usage, ok bool) {
	name, rest, ok := strings.Cut(s, ": usage ")
	if !ok {
		return "", Usage{}, false
	}
	usage, rest, ok := strings.Cut(rest, ", limit ")
	if !ok {
		return "", Usage{}, false
	}
	limit, failcnt, _ := strings.Cut(rest, ", failcnt ")
	u = Usage{Usage: parseKB(usage), Limit: parseKB(limit), Failcnt: parseNumber(failcnt)}
	return name, u, u.Usage.IsSet() && u.Limit.IsSet()
}

// setUsage stores a usage line in the report.
func (r *Report) setUsage(name string, u Usage) bool {
	switch name {
	case "memory":
		r.Memory = u
	case "memory+swap":
		r.Memsw = u
	case "swap":
		r.Swap = u
	case "kmem":
		r.Kmem = u
	default:
		return false
	}
	return true
}

// addGroup keeps what a line about one cgroup says, up to 5.2.
func (r *Report) addGroup(s string) {
	path, _, ok := strings.Cut(s[len(statsPrefix):], ": cache:")
	if !ok {
		path = strings.TrimSuffix(path, ":")
	}
	if r.statsPath == "" {
		r.statsPath = path
	}
	if !ok || len(r.Groups) >= maxStats {
		return
	}
	g := Group{Path: path}
	for field := range strings.FieldsSeq(s[len(statsPrefix)+len(path)+2:]) {
		key, value, _ := strings.Cut(field, ":")
		n := parseKB(value).Or(0)
		switch key {
		case "rss":
			g.RSS = n
		case "swap":
			g.Swap = n
		case "cache":
			g.Cache = n
		}
	}
	r.Groups = append(r.Groups, g)
}

const statsPrefix = "Memory cgroup stats for "

// maxStats bounds the keys of memory.stat; kernels have fewer than 100.
const maxStats = 512

// addStats reads "Memory cgroup stats for PATH:" and what follows on the same
// line: nothing, or up to 5.2 the local statistics of one cgroup (`cache:1KB
// rss:1KB …`), which are added up over the cgroups at and below the limit.
func (r *Report) addStats(s string) {
	_, line, ok := strings.Cut(s, ": cache:")
	if !ok {
		return
	}
	for field := range strings.FieldsSeq("cache:" + line) {
		key, value, _ := strings.Cut(field, ":")
		if n, ok := parseKB(value).Get(); ok {
			r.addStat(key, n)
		}
	}
}

// addStatLines reads lines of memory.stat: since 6.6 a record each, before
// that all in one. It tells whether s is one.
func (r *Report) addStatLines(s string) bool {
	any := false
	for line := range strings.SplitSeq(s, "\n") {
		key, value, ok := strings.Cut(line, " ")
		n, known := parseNumber(value).Get()
		if !ok || !known || !isStatKey(key) {
			continue
		}
		r.addStat(key, n)
		any = true
	}
	return any
}

func (r *Report) addStat(key string, n uint64) {
	for i := range r.Stats {
		if r.Stats[i].Key == key {
			r.Stats[i].Value += n
			return
		}
	}
	if len(r.Stats) < maxStats && len(key) <= 64 {
		r.Stats = append(r.Stats, Stat{Key: key, Value: n})
	}
}

func isStatKey(s string) bool {
	for i := range len(s) {
		if (s[i] < 'a' || s[i] > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '_' {
			return false
		}
	}
	return s != ""
}

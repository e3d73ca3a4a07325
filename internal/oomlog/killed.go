// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strconv"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The messages with which oom_kill_process() is called. The text of a line
// begins with one of them, or, up to 5.0, with none.
const (
	messageMemcg      = "Memory cgroup out of memory"
	messageGlobal     = "Out of memory"
	messageAllocating = "Out of memory (oom_kill_allocating_task)"
)

// maxComm is the longest comm: TASK_COMM_LEN without the terminating NUL.
const maxComm = 15

// killedLine is one "Killed process" line.
type killedLine struct {
	message string // one of the messages, or empty.
	victim  oom.Victim
	whole   bool // nothing of it is missing.
}

// cutMessage cuts `MESSAGE: ` off s. Only the messages that kernels use count:
// anything else may quote text from user space.
func cutMessage(s string) (message, rest string) {
	for _, m := range []string{messageAllocating, messageGlobal, messageMemcg} {
		if after, ok := strings.CutPrefix(s, m); ok {
			if after, ok := strings.CutPrefix(after, ": "); ok {
				return m, after
			}
		}
	}
	return "", s
}

// killedPrefix begins what a line says of a victim, after the message. A wording
// that begins otherwise has to be added to cutKilled, and to anchors and Hint in
// locate.go.
const killedPrefix = "Killed process "

// cutKilled splits a line about a victim: into the message before the colon, if
// there is one, and what follows the prefix.
func cutKilled(s string) (message, rest string, ok bool) {
	message, rest = cutMessage(s)
	rest, ok = strings.CutPrefix(rest, killedPrefix)
	return message, rest, ok
}

// parseKilled parses a "Killed process" line. comm may hold any byte, so the
// line is read up to the first parenthesis, and from its end down to the last
// ") total-vm:".
func parseKilled(s string) (k killedLine, ok bool) {
	if k.message, s, ok = cutKilled(s); !ok {
		return k, false
	}
	pid, s, ok := strings.Cut(s, " (")
	pid, uid, _ := strings.Cut(pid, ", UID ") // RHEL 6: "12, UID 0, (comm)".
	if k.victim.PID, ok = parsePID(pid, ok); !ok {
		return k, false
	}
	if uid = strings.TrimSuffix(uid, ","); uid != "" {
		k.victim.UID = parseNumber(uid)
	}
	s = strings.Replace(s, ") vsz:", ") total-vm:", 1) // 2.6.32.
	end := strings.LastIndex(s, ") total-vm:")
	tail := ""
	if end >= 0 {
		tail = s[end+len(") "):]
	} else { // 3.10 of CentOS 7: "(comm), UID 0, total-vm:".
		end = strings.LastIndex(s, "), UID ")
		if end < 0 {
			return k, false
		}
		uid, rest, ok := strings.Cut(s[end+len("), UID "):], ", ")
		if !ok || !allDigits(uid) {
			return k, false
		}
		tail = "UID:" + uid + " " + rest
	}
	if end > maxComm {
		return k, false
	}
	k.victim.Comm = s[:end]
	k.whole = parseSizes(tail, &k.victim)
	return k, k.victim.TotalVM.IsSet()
}

// parseKilledCut parses a Killed line that is cut off after the name, or that of
// a kernel that printed no sizes.
func parseKilledCut(s string) (k killedLine, ok bool) {
	if k.message, s, ok = cutKilled(s); !ok {
		return k, false
	}
	pid, s, ok := strings.Cut(s, " (")
	if k.victim.PID, ok = parsePID(pid, ok); !ok {
		return k, false
	}
	comm, tail, ok := strings.Cut(s, ")")
	const sizes = " total-vm:"
	n := min(len(tail), len(sizes))
	if !ok || len(comm) > maxComm || tail[:n] != sizes[:n] {
		return k, false
	}
	k.victim.Comm = comm
	return k, true
}

// parseSizes reads `total-vm:1kB, anon-rss:1kB, … UID:0 pgtables:1kB
// oom_score_adj:0`. It tells whether every field could be read.
func parseSizes(tail string, v *oom.Victim) bool {
	whole := true
	for field := range strings.FieldsSeq(tail) {
		key, value, ok := strings.Cut(strings.TrimSuffix(field, ","), ":")
		if !ok {
			whole = false
			continue
		}
		switch key {
		case "UID":
			v.UID = parseNumber(value)
			whole = whole && v.UID.IsSet()
		case "oom_score_adj":
			adj, err := strconv.ParseInt(value, 10, 16)
			v.Adj, v.AdjKnown = int(adj), err == nil
			whole = whole && err == nil
		default:
			size := parseKB(value)
			whole = whole && setSize(v, key, size)
		}
	}
	return whole && v.AnonRSS.IsSet()
}

// setSize stores a size under its key; a key that a later kernel may have is
// no fault.
func setSize(v *oom.Victim, key string, size oom.Amount) bool {
	switch key {
	case "total-vm":
		v.TotalVM = size
	case "anon-rss":
		v.AnonRSS = size
	case "file-rss":
		v.FileRSS = size
	case "shmem-rss":
		v.ShmemRSS = size
	case "pgtables":
		v.PageTables = size
	default:
		return true
	}
	return size.IsSet()
}

// chosenLine is "Kill process … score … or sacrifice child", up to 5.0: it has
// the message that the Killed line of these kernels lacks.
type chosenLine struct {
	message string
	pid     int
	comm    string
}

func parseChosen(s string) (c chosenLine, ok bool) {
	c.message, s = cutMessage(s)
	s, ok = strings.CutPrefix(s, "Kill process ")
	if !ok { // 2.6.32.
		s, ok = strings.CutPrefix(s, "kill process ")
	}
	if !ok {
		return c, false
	}
	pid, s, ok := strings.Cut(s, " (")
	if c.pid, ok = parsePID(pid, ok); !ok {
		return c, false
	}
	end := strings.LastIndex(s, ") score ")
	if end < 0 || end > maxComm || !strings.HasSuffix(s, " or sacrifice child") && !strings.HasSuffix(s, " or a child") {
		return c, false
	}
	c.comm = s[:end]
	return c, true
}

// parseExiting parses "OOM victim N (comm) is already exiting. Skip killing
// the task".
func parseExiting(s string) (Exiting, bool) {
	_, s = cutMessage(s)
	s, ok := strings.CutPrefix(s, "OOM victim ")
	if !ok {
		return Exiting{}, false
	}
	s, ok = strings.CutSuffix(s, ") is already exiting. Skip killing the task")
	pid, comm, ok2 := strings.Cut(s, " (")
	n, ok3 := parsePID(pid, ok && ok2)
	if !ok3 || len(comm) > maxComm {
		return Exiting{}, false
	}
	return Exiting{PID: n, Comm: comm}, true
}

// parseGroup parses "Tasks in PATH are going to be killed due to
// memory.oom.group set".
func parseGroup(s string) (path string, ok bool) {
	s, ok = strings.CutPrefix(s, "Tasks in ")
	if !ok {
		return "", false
	}
	s, ok = strings.CutSuffix(s, " are going to be killed due to memory.oom.group set")
	return s, ok && strings.HasPrefix(s, "/")
}

func parsePID(s string, ok bool) (int, bool) {
	if !ok || !allDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil && n > 0
}

func parseNumber(s string) oom.Amount {
	if !allDigits(s) {
		return oom.Amount{}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return oom.Amount{}
	}
	return oom.Of(n)
}

// maxKB is where a size in kB stops being a limit: 2^62 bytes. Kernels print
// "no limit" as the largest number of pages that they can count.
const maxKB = 1 << 52

// parseKB parses `12kB` (or 12KB) into bytes.
func parseKB(s string) oom.Amount {
	digits, ok := strings.CutSuffix(s, "kB")
	if !ok {
		digits, ok = strings.CutSuffix(s, "KB")
	}
	n, known := parseNumber(digits).Get()
	switch {
	case !ok || !known:
		return oom.Amount{}
	case n >= maxKB:
		return oom.Unlimited()
	default:
		return oom.Of(n << 10)
	}
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

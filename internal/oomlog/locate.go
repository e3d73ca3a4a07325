// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"bytes"
	"strings"
)

// anchor is a text by which a line of a report is known wherever it stands.
type anchor struct {
	text string
	// also must come after it; empty if the text alone says enough.
	also string
	// pages says that a number of pages follows: lines about zones have kB there.
	pages bool
}

// anchors are the beginnings of lines. Each is rare elsewhere, or is together
// with what must follow.
var anchors = [...]anchor{
	{text: messageMemcg + ": ", also: " process "},
	{text: messageGlobal + ": ", also: " process "},
	{text: messageGlobal + ": OOM victim ", also: " is already exiting"},
	{text: messageMemcg + ": OOM victim ", also: " is already exiting"},
	{text: messageAllocating + ": ", also: " process "},
	{text: noKillable},
	{text: killedPrefix, also: "("},
	{text: killedPrefix, also: ", UID "},
	{text: "Kill process ", also: ") score "},
	{text: oomKillPrefix},
	{text: taskInPrefix, also: taskInMiddle},
	{text: "Tasks in ", also: " are going to be killed due to memory.oom.group set"},
	{text: reachedPrefix},
	{text: "memory: usage ", also: "kB, limit "},
	{text: "memory+swap: usage ", also: "kB, limit "},
	{text: "kmem: usage ", also: "kB, limit "},
	{text: "swap: usage ", also: "kB, limit "},
	{text: statsPrefix},
	{text: "Mem-Info:"},
	{text: "active_anon:", also: " inactive_anon:", pages: true},
	{text: "active_file:", also: " inactive_file:", pages: true},
	{text: "unevictable:", also: " dirty:", pages: true},
	{text: "slab_reclaimable:", also: " slab_unreclaimable:", pages: true},
	{text: "mapped:", also: " shmem:", pages: true},
	{text: "free:", also: " free_pcp:", pages: true},
	{text: "free:", also: " slab_reclaimable:", pages: true},
	{text: "Node ", also: " active_anon:"},
	{text: tasksTitle},
	{text: "CPU: ", also: " Comm: "},
	{text: "Pid: ", also: ", comm: "},
	{text: "Free swap ", also: "kB"},
	{text: "Total swap ", also: "kB"},
	{text: "oom_kill_process: ", also: " callbacks suppressed"},
	{text: "dump_header: ", also: " callbacks suppressed"},
	{text: "oom_reaper: ", also: " process "},
	{text: panicPrefix},
	{text: slabTitle},
	{text: "Linux version ", also: "."},
	{text: "sysrq: Manual OOM execution"},
	{text: "SysRq : Manual OOM execution"},
}

// Locate finds the kernel's words in a line whose prefix is not known: the
// byte at which a line of an OOM report begins, -1 if there is none. sure says
// that it begins exactly there; where a name comes first, one can't know.
func Locate(s string) (at int, sure bool) {
	at = -1
	for k := range anchors {
		a := &anchors[k]
		i := strings.Index(s, a.text)
		if i < 0 || at >= 0 && i >= at || i > 0 && isLetter(s[i-1]) {
			continue
		}
		rest := s[i+len(a.text):]
		if number, _, _ := strings.Cut(rest, " "); a.pages && !allDigits(number) {
			continue
		}
		if strings.Contains(rest, a.also) {
			at = i
		}
	}
	for _, find := range []func(string) int{findColumns, findRow, findPages, findStat} {
		if i := find(s); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	if i := strings.Index(s, " invoked oom-killer:"); i >= 0 && (at < 0 || i < at) {
		return commBefore(s[:i]), false
	}
	return at, at >= 0
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }

// commBefore guesses where a comm at the end of s begins: after the last
// delimiter, else after the last space.
func commBefore(s string) int {
	from := 0
	for _, delimiter := range []string{": ", "] ", "> ", "| ", "\t", "\"", "  ", "; ", "- "} {
		if i := strings.LastIndex(s, delimiter); i >= 0 {
			from = max(from, i+len(delimiter))
		}
	}
	if len(s)-from <= maxComm {
		return from
	}
	return strings.LastIndexByte(s, ' ') + 1
}

// findColumns finds the header of a task table.
func findColumns(s string) int {
	i := strings.Index(s, " tgid total_vm ")
	if i < 0 {
		return -1
	}
	i = strings.LastIndexByte(s[:i], '[')
	if i < 0 {
		return -1
	}
	if _, ok := parseColumns(s[i:]); !ok {
		return -1
	}
	return i
}

// findRow finds a row of a task table: a pid in brackets, at least seven more
// numbers and a name.
func findRow(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], ']')
		if i < 0 {
			return -1
		}
		end := from + i
		start := end
		for start > 0 && (s[start-1] == ' ' || isDigit(s[start-1])) {
			start--
		}
		if start > 0 && s[start-1] == '[' && end > start && isRow(s[end+1:]) {
			return start - 1
		}
		from = end + 1
	}
}

// isRow tells whether the numbers of a row follow its pid.
func isRow(s string) bool {
	numbers := 0
	for {
		trimmed := strings.TrimLeft(s, " ")
		if len(trimmed) == len(s) {
			return false
		}
		word, rest, more := strings.Cut(trimmed, " ")
		if !allDigits(strings.TrimPrefix(word, "-")) {
			return numbers >= 7 && numbers <= 16
		}
		if numbers++; !more {
			return numbers > 7
		}
		s = " " + rest
	}
}

// findPages finds `1000000 pages RAM`.
func findPages(s string) int {
	for _, what := range []string{" pages RAM", " pages reserved", " pages HighMem"} {
		i := strings.Index(s, what)
		if i < 0 {
			continue
		}
		start := i
		for start > 0 && isDigit(s[start-1]) {
			start--
		}
		if start < i {
			return start
		}
	}
	return -1
}

// findStat finds a line of memory.stat, if there is nothing else on it.
func findStat(s string) int {
	key, value, ok := strings.Cut(s, " ")
	if ok && isStatKey(key) && !allDigits(key) && allDigits(value) {
		return 0
	}
	return -1
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// How many lines after one with the kernel's words can be of its report: the
// rows of the largest task table and what comes around it, or what follows a
// kill.
const (
	linesOfReport = 40000
	linesAfter    = 1000
)

// Hint checks quickly whether a line can begin a boot, or be one of those that
// Locate finds and that say something on their own. It returns how many of the
// lines after it can be of the same report; 0 if it can't be such a line.
func Hint(line []byte) int {
	switch {
	case bytes.Contains(line, []byte("ill")) && (bytes.Contains(line, []byte("illed process")) || bytes.Contains(line, []byte("ill process"))):
		return linesAfter
	case bytes.Contains(line, []byte("oom-kill")), bytes.Contains(line, []byte(" limit of ")), bytes.Contains(line, []byte("total_vm")),
		bytes.Contains(line, []byte("Mem-Info:")), bytes.Contains(line, []byte("pages RAM")):
		return linesOfReport
	case bytes.Contains(line, []byte("ut of memory")), bytes.Contains(line, []byte("Linux version ")), bytes.Contains(line, []byte("oom_")),
		bytes.Contains(line, []byte(" OOM ")), bytes.HasPrefix(line, []byte("-- ")):
		return linesAfter
	default:
		return 0
	}
}

// Place returns where in a report a line stands, a number that rises from the
// first line to the last; 0 if the line does not tell. It shows whether a log has
// its newest lines first.
func Place(s string) int {
	switch {
	case strings.Contains(s, invokedKey):
		return 1
	case strings.HasPrefix(s, "CPU: "), strings.HasPrefix(s, "Pid: "):
		return 2
	case strings.HasPrefix(s, "memory: usage "), strings.HasPrefix(s, "Mem-Info:"):
		return 3
	case strings.HasPrefix(s, tasksTitle):
		return 4
	case strings.HasPrefix(s, oomKillPrefix):
		return 7
	}
	if _, ok := parseColumns(s); ok {
		return 5
	}
	if findRow(s) == 0 {
		return 6
	}
	if _, ok := parseChosen(s); ok {
		return 8
	}
	if _, ok := parseKilled(s); ok {
		return 9
	}
	return 0
}

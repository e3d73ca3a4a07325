// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"fmt"
	"math"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// pfKthread marks a kernel thread in the flags of /proc/PID/stat
// (include/linux/sched.h).
const pfKthread = 0x00200000

// statm is the start of /proc/PID/statm, in pages. All are 0 for a task without
// memory: a kernel thread, a zombie, a thread group leader that has exited.
type statm struct{ size, resident, shared uint64 }

// parseStatm reads "size resident shared text lib data dt".
func parseStatm(b []byte) (s statm, ok bool) {
	if s.size, b, ok = parseUint(b); !ok {
		return statm{}, false
	}
	if s.resident, b, ok = parseUint(b); !ok {
		return statm{}, false
	}
	// In truncated text this number could be cut short: require a blank after it.
	if s.shared, b, ok = parseUint(b); !ok || len(b) == 0 {
		return statm{}, false
	}
	return s, true
}

// status is what we use of /proc/PID/status, in bytes. The kernel leaves the
// Vm lines out for a task without memory.
type status struct {
	name            string
	rss, anon, swap oom.Amount // anon: RssAnon, since 4.5.
	pte, pmd        oom.Amount // pmd: VmPMD, 4.0 to 4.14; part of VmPTE after that.
}

// parseStatus reads the lines of /proc/PID/status that count for the badness.
func parseStatus(b []byte) (status, error) {
	var s status
	first, _ := cutLine(&b)
	name, found := bytes.CutPrefix(first, []byte("Name:\t"))
	if !found {
		return s, fmt.Errorf("parse status: no name: %w", errDamaged)
	}
	s.name = unescapeName(name)
	for {
		key, value, ok := cutField(&b)
		if !ok {
			break
		}
		var field *oom.Amount
		switch string(key) {
		case "VmRSS":
			field = &s.rss
		case "RssAnon":
			field = &s.anon
		case "VmSwap":
			field = &s.swap
		case "VmPTE":
			field = &s.pte
		case "VmPMD":
			field = &s.pmd
		default:
			continue
		}
		if *field = parseKiB(value); !field.IsSet() {
			return s, fmt.Errorf("parse status: %s: %w", key, errDamaged)
		}
	}
	return s, nil
}

// cutLine takes the first line off b, without its newline, and tells whether
// it had one.
func cutLine(b *[]byte) ([]byte, bool) {
	line, rest, whole := bytes.Cut(*b, []byte("\n"))
	*b = rest
	return line, whole
}

// cutField takes the first line "key: value" off b. Other lines, and a last line
// without a newline, are skipped; ok is false when there are no more.
func cutField(b *[]byte) (key, value []byte, ok bool) {
	for len(*b) > 0 {
		line, whole := cutLine(b)
		if key, value, found := bytes.Cut(line, []byte(":")); found && whole {
			return key, value, true
		}
	}
	return nil, nil, false
}

// unescapeName undoes proc_task_name(), which writes a newline and a backslash
// of the name as "\n" and "\\", so that the name is the one in the kernel log.
func unescapeName(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			switch b[i+1] {
			case 'n':
				c, i = '\n', i+1
			case '\\':
				i++
			}
		}
		out = append(out, c)
	}
	return string(out)
}

// stat is what we use of /proc/PID/stat.
type stat struct{ flags, start uint64 }

// parseStat reads the fields after the name. The name may hold anything, even
// parentheses and newlines, so it ends at the last ")" of the file.
func parseStat(b []byte) (s stat, err error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return s, fmt.Errorf("parse stat: no name: %w", errDamaged)
	}
	b = b[end+1:]
	// state is field 3 of proc(5), flags 9, starttime 22; a 23rd has to follow.
	for field := 3; field <= 22; field++ {
		b = bytes.TrimLeft(b, " ")
		i := bytes.IndexByte(b, ' ')
		if i < 0 {
			return stat{}, fmt.Errorf("parse stat: ends at field %d: %w", field, errDamaged)
		}
		ok := true
		switch field {
		case 9:
			s.flags, _, ok = parseUint(b[:i])
		case 22:
			s.start, _, ok = parseUint(b[:i])
		}
		if !ok {
			return stat{}, fmt.Errorf("parse stat: field %d: %w", field, errDamaged)
		}
		b = b[i:]
	}
	return s, nil
}

// isKthread tells whether the flags are a kernel thread's.
func (s stat) isKthread() bool { return s.flags <= math.MaxUint32 && s.flags&pfKthread != 0 }

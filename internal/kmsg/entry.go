// SPDX-License-Identifier: Apache-2.0

package kmsg

import "strings"

// maxEntry bounds the fields of one entry of journalctl.
const maxEntry = 256

// entry gathers the lines of one entry of journalctl -o export or -o verbose:
// a field each, in any order.
type entry struct {
	fields fields
	last   string // the field whose text the next lines continue.
	indent int
}

// add takes a line. taken says that it is part of an entry; done has the fields of
// the entry that it completes, if it does.
func (e *entry) add(s string) (done fields, taken bool) {
	text := strings.TrimLeft(s, " \t")
	indent := len(s) - len(text)
	if isVerboseHead(s) {
		done = e.finish()
		e.fields = headFields(s)
		return done, true
	}
	if text == "" {
		if e.fields == nil {
			return nil, false
		}
		return e.finish(), true
	}
	key, value, ok := strings.Cut(text, "=")
	switch {
	case ok && isJournalField(key) && (e.fields != nil || startsEntry(key)):
		if e.fields == nil {
			e.fields = fields{}
		}
		if len(e.fields) < maxEntry {
			e.last, e.indent = strings.ToLower(key), indent
			e.fields[e.last] = value
		}
		return nil, true
	case e.fields != nil && e.last != "" && indent > e.indent:
		before, _ := e.fields[e.last].(string)
		if len(before) < maxFolded {
			e.fields[e.last] = before + "\n" + text
		}
		return nil, true
	case e.fields != nil:
		return e.finish(), false
	default:
		return nil, false
	}
}

func (e *entry) finish() fields {
	done := e.fields
	e.fields, e.last = nil, ""
	return done
}

// startsEntry tells whether an entry can begin with this field: journalctl begins with
// its own, such as __CURSOR, while the KEY=value lines of a /dev/kmsg record begin none.
func startsEntry(key string) bool {
	return strings.HasPrefix(key, "_") || key == "PRIORITY" || key == "MESSAGE" || strings.HasPrefix(key, "SYSLOG_")
}

func isJournalField(key string) bool {
	return len(key) <= 64 && isProperty(key+"=")
}

// isVerboseHead recognises `Tue 2026-11-24 10:00:00.123456 UTC [s=…;i=…;b=…;…]`.
func isVerboseHead(s string) bool {
	return strings.HasSuffix(s, "]") && strings.Contains(s, " [s=") && strings.Contains(s, ";b=")
}

// headFields reads the date and the boot of a verbose head.
func headFields(s string) fields {
	f := fields{}
	date, cursor, _ := strings.Cut(s, " [s=")
	f["time"] = date
	for part := range strings.SplitSeq(strings.TrimSuffix(cursor, "]"), ";") {
		if boot, ok := strings.CutPrefix(part, "b="); ok {
			f["_boot_id"] = boot
		}
	}
	return f
}

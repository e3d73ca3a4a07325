// SPDX-License-Identifier: Apache-2.0

package kmsg

import "strings"

// dated eats `DATE host kernel: ` and a bracket after it, as syslog daemons
// and journalctl print it in their many ways, or the bare date of dmesg
// --time-format=iso. It tells whether the line had such a prefix. A line of
// another program is not the kernel's, whatever it says.
func (p *prefix) dated(opts LogOptions) bool {
	s := p.rest
	if p.rec.Priority >= 0 && strings.HasPrefix(s, "1 ") {
		s = s[2:] // the version of RFC 5424.
	}
	d, rest, bare, ok := p.cutDate(s, opts)
	if !ok {
		return false
	}
	if bare {
		p.setDate(d)
		p.rest, p.form, p.any = rest, formDmesg, true
		p.bracket(opts) // the caller's.
		return true
	}
	host, tag, text, ok := cutTag(rest, opts)
	if !ok {
		return false
	}
	if tag != kernelTag {
		p.form = formOther
		return true
	}
	p.rest, p.form, p.any = text, formSyslog, true
	p.rec.Host = host
	p.priority() // some daemons leave the kernel's own prefix in the text.
	p.bracket(opts)
	p.setDate(d)
	return true
}

// cutDate remembers the last date that it cut off: the lines of a report mostly
// share it.
func (p *prefix) cutDate(s string, opts LogOptions) (date, string, bool, bool) {
	m := opts.memory
	if m != nil && m.head != "" && strings.HasPrefix(s, m.head) {
		return m.date, s[len(m.head):], m.bare, true
	}
	d, rest, bare, ok := cutDate(s, opts)
	if ok && m != nil {
		m.head, m.date, m.bare = s[:len(s)-len(rest)], d, bare
	}
	return d, rest, bare, ok
}

// dateMemory is the date that was read last.
type dateMemory struct {
	head string
	date date
	bare bool
}

func (p *prefix) setDate(d date) {
	p.rec.Time, p.rec.NoYear, p.rec.NoZone = d.time, d.noYear, d.noZone
	p.rec.Approximate = d.noYear || d.noZone
	if d.time.IsZero() || d.noYear || d.noZone {
		p.rec.Date = d.text
	}
}

const kernelTag = "kernel"

// maxTag bounds the host and the tag that follow a date.
const maxTag = 300

// cutTag cuts `host kernel: ` off s: a host, perhaps facility and level, and
// the name of the program, with its process id.
func cutTag(s string, opts LogOptions) (host, tag, text string, ok bool) {
	if host, tag, text, ok := cutStructured(s); ok {
		return host, tag, text, true
	}
	head, _, ok := strings.Cut(s[:min(len(s), maxTag)], ": ")
	switch {
	case ok:
		text = s[len(head)+len(": "):]
	case len(s) <= maxTag && strings.HasSuffix(s, ":"):
		head = s[:len(s)-1]
	default:
		return "", "", "", false
	}
	words := strings.Fields(head)
	n := len(words)
	if n == 0 || n > 3 || strings.ContainsAny(head, "\"'|{}=") {
		return "", "", "", false
	}
	tag = words[n-1]
	if name, _, bracket := strings.Cut(tag, "["); bracket && strings.HasSuffix(tag, "]") && name != "" {
		tag = name
	}
	words = words[:n-1]
	if n := len(words); n > 0 && isFacility(words[n-1]) {
		words = words[:n-1]
	}
	switch {
	case strings.ContainsAny(tag, "[]()"):
		return "", "", "", false
	case len(words) > 1 || len(words) == 1 && !isHost(words[0]):
		return "", "", "", false
	case len(words) == 1:
		host = words[0]
	}
	switch unit, name, ok := strings.Cut(tag, "/"); {
	case ok && unit != "" && name == kernelTag:
		tag = name // journalctl -o with-unit.
	case tag == "klogd": // it passed the kernel's lines on before rsyslog did.
		tag = kernelTag
	case strings.HasSuffix(head, " "):
		host, tag = tag, kernelTag // a host, and no tag at all.
	case allDigits(tag):
		host, tag = "", kernelTag // the end of a date.
	}
	if tag != kernelTag && opts.startsBy(s, len(head)) {
		return "", "", "", false // the kernel's text, without a tag before it.
	}
	return host, tag, text, true
}

// cutStructured cuts what RFC 5424 puts after the date: `host kernel - - - `
// or `host kernel 12 ID [data] `.
func cutStructured(s string) (host, tag, text string, ok bool) {
	words := strings.SplitN(s, " ", 6)
	if len(words) < 5 || !isHost(words[0]) || words[1] == "" || strings.HasSuffix(words[1], ":") {
		return "", "", "", false
	}
	if words[2] != "-" && !allDigits(words[2]) || words[3] == "" {
		return "", "", "", false
	}
	rest := s[len(words[0])+len(words[1])+len(words[2])+len(words[3])+4:]
	switch {
	case rest == "-":
		rest = ""
	case strings.HasPrefix(rest, "- "):
		rest = rest[2:]
	case strings.HasPrefix(rest, "[") && strings.Contains(rest, "=\"") && strings.Contains(rest, "] "):
		_, rest, _ = strings.Cut(rest, "] ")
	default:
		return "", "", "", false
	}
	rest = strings.TrimPrefix(rest, "\ufeff")
	rest = strings.TrimPrefix(rest, "kernel: ")
	if host = words[0]; host == "-" {
		host = ""
	}
	return host, words[1], rest, true
}

// isFacility tells whether s is `kern.err`, as OpenWrt's logread and rsyslog
// can print it.
func isFacility(s string) bool {
	facility, level, ok := strings.Cut(s, ".")
	if !ok {
		return false
	}
	_, ok = index(facilities, facility)
	_, ok2 := index(levels+" warning error panic", level)
	return ok && ok2
}

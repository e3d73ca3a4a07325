// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// form is the form of one line of a saved log.
type form uint8

const (
	formPlain   form = iota // no prefix: printk.time=0, or no kernel log at all.
	formDevice              // /dev/kmsg.
	formMore                // a device record's KEY=value, or an indented line.
	formDmesg               // dmesg in any form, syslog(2).
	formSyslog              // date, host and "kernel:".
	formOther               // another program's.
	formLearned             // behind a prefix whose shape was learned.
	formEntry               // the text of an entry that has fields.
)

// logLine is a parsed line; width is the length of what stood before the text.
type logLine struct {
	rec   Record
	form  form
	width int
}

// parseLine parses one line of a saved log, whatever its form.
func parseLine(s string, opts LogOptions) logLine {
	if len(s) > 0 && s[0] == ' ' && isProperty(s[1:]) {
		return logLine{form: formMore}
	}
	if isDigit(s, 0) {
		if head, _, ok := strings.Cut(s, ";"); ok && strings.Count(head, ",") >= 2 {
			if rec, err := ParseRecord([]byte(s)); err == nil {
				return logLine{rec: rec, form: formDevice}
			}
		}
	}
	p := prefix{rec: Record{Priority: -1}, rest: s}
	p.priority()
	if p.dated(opts) {
		return p.line(s)
	}
	p.bracket(opts)
	if p.any {
		p.hostInside()
	}
	return p.line(s)
}

// parseRing parses one line of the text that syslog(2) returns.
func parseRing(b []byte) Record {
	p := prefix{rec: Record{Priority: -1}, rest: string(b)}
	p.priority()
	p.bracket(LogOptions{})
	rec := p.line(string(b)).rec
	rec.Split, rec.Caller = true, 0
	return rec
}

// prefix eats the prefix of a line bit by bit.
type prefix struct {
	rec  Record
	rest string
	form form
	any  bool // something was eaten.
}

func (p *prefix) line(s string) logLine {
	p.rec.Text = p.rest
	if p.any && p.form == formPlain {
		p.form = formDmesg
	}
	return logLine{rec: p.rec, form: p.form, width: len(s) - len(p.rest)}
}

// priority eats `<4>` (dmesg -r, syslog(2)) or `kern  :warn  : ` (dmesg -x).
func (p *prefix) priority() {
	if strings.HasPrefix(p.rest, "<") {
		digits, rest, ok := strings.Cut(p.rest[1:], ">")
		n, err := strconv.ParseUint(digits, 10, 16)
		if ok && err == nil {
			p.rec.Priority, p.rest, p.any = int(n), rest, true
		}
		return
	}
	facility, rest, ok := strings.Cut(p.rest, ":")
	level, rest, ok2 := strings.Cut(rest, ":")
	facility, level = strings.TrimRight(facility, " "), strings.TrimRight(level, " ")
	if !ok || !ok2 || len(facility) > 8 || len(level) > 8 || !isLetters(level) {
		return
	}
	f, ok := index(facilities, facility)
	l, ok2 := index(levels, level)
	if ok && ok2 {
		p.rec.Priority, p.rest, p.any = f<<3|l, strings.TrimPrefix(rest, " "), true
	}
}

const (
	facilities = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp - - - - " +
		"local0 local1 local2 local3 local4 local5 local6 local7"
	levels = "emerg alert crit err warn notice info debug"
)

func index(list, word string) (int, bool) {
	for i, w := range strings.Fields(list) {
		if w == word && w != "-" {
			return i, true
		}
	}
	return 0, false
}

// bracket eats `[ 12.345678] `, `[ 12.345678 <    0.1>] `, `[  +0.000010] `,
// `[Sat Nov 21 10:00:00 2026] ` in any language, `[Nov21 10:00] ` and a
// caller's `[  T123] ` after it.
func (p *prefix) bracket(opts LogOptions) {
	inside, rest, ok := cutBracket(p.rest)
	if !ok {
		return
	}
	if p.any && isCaller(inside) {
		p.rec.Caller = callerOf(inside)
		p.rest = strings.TrimPrefix(rest, " ")
		return
	}
	if !p.stamp(strings.Trim(inside, " "), opts) {
		return
	}
	p.any = true
	// Since util-linux 2.40 there is a space before the caller.
	if caller, after, ok := cutBracket(strings.TrimPrefix(rest, " ")); ok && isCaller(caller) {
		p.rec.Caller = callerOf(caller)
		rest = after
	}
	p.rest = cutVendor(strings.TrimPrefix(rest, " "))
}

// vendorMark is what the kernels of some vendors put after the time: a CPU, a
// task, a colon.
var vendorMark = regexp.MustCompile(`^(?:: |C\d+ |c\d+ +\d+ | *\(\d+\)\[\d+:[^\]]{1,15}\] ?)`)

func cutVendor(s string) string {
	if s == "" || strings.IndexByte(":Cc( ", s[0]) < 0 {
		return s
	}
	return s[len(vendorMark.FindString(s)):]
}

func cutBracket(s string) (inside, rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return "", "", false
	}
	inside, rest, ok = strings.Cut(s[1:], "]")
	return inside, rest, ok && len(inside) <= maxDate
}

// stamp reads the inside of a bracket.
func (p *prefix) stamp(s string, opts LogOptions) bool {
	s, isDelta := cutDelta(s)
	if s == "" {
		return isDelta
	}
	if d, ok := parseSeconds(s); ok {
		p.rec.Stamp, p.rec.HasStamp = d, true
		return true
	}
	if after, ok := strings.CutPrefix(s, "+"); ok {
		_, ok := parseSeconds(after)
		return ok
	}
	if _, err := time.Parse("Jan_2 15:04", s); err == nil {
		return true
	}
	if !strings.Contains(s, " ") || isDigit(s, 0) && strings.Contains(s, "-") {
		return false // a time of day, or ISO 8601: from a chat, or a collector.
	}
	d, rest, _, ok := p.cutDate(s+" ", opts)
	if !ok || rest != "" {
		return false
	}
	p.setDate(d)
	// dmesg -T computes the date from the kernel's clock.
	p.rec.Approximate = true
	return true
}

// cutDelta cuts `<    0.000010>` off the end of s.
func cutDelta(s string) (string, bool) {
	rest, delta, ok := strings.Cut(s, "<")
	delta, closed := strings.CutSuffix(delta, ">")
	if _, isDelta := parseSeconds(strings.TrimSpace(delta)); ok && closed && isDelta {
		return strings.TrimRight(rest, " "), true
	}
	return s, false
}

// hostInside eats `host kernel: ` after a bracket: journalctl -o
// short-monotonic.
func (p *prefix) hostInside() {
	if text, ok := strings.CutPrefix(p.rest, "kernel: "); ok {
		p.rest, p.form = text, formSyslog
		return
	}
	host, rest, ok := strings.Cut(p.rest, " ")
	if ok && isHost(host) && strings.HasPrefix(rest, "kernel: ") {
		p.rest, p.rec.Host = rest[len("kernel: "):], host
		p.form = formSyslog
	}
}

// parseSeconds parses `12.345678`, the kernel's clock.
func parseSeconds(s string) (time.Duration, bool) {
	whole, frac, ok := strings.Cut(s, ".")
	if !ok || len(whole) > 9 || len(frac) == 0 || len(frac) > 9 || !allDigits(whole) || !allDigits(frac) {
		return 0, false
	}
	sec, err := strconv.ParseUint(whole, 10, 64)
	if err != nil {
		return 0, false
	}
	nano, _ := strconv.ParseUint((frac + "000000000")[:9], 10, 64)
	return time.Duration(sec)*time.Second + time.Duration(nano), true
}

// isCaller tells whether s is what CONFIG_PRINTK_CALLER prints: a thread or a
// CPU.
func isCaller(s string) bool {
	s = strings.TrimLeft(s, " ")
	return len(s) > 1 && len(s) < 16 && (s[0] == 'T' || s[0] == 'C') && allDigits(s[1:])
}

// callerOf returns the id of the task that printed, 0 if the caller is a CPU.
func callerOf(s string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(s), "T"))
	return n
}

// isProperty tells whether s is KEY=value with a key as the kernel makes them.
func isProperty(s string) bool {
	key, _, ok := strings.Cut(s, "=")
	if !ok || key == "" {
		return false
	}
	for _, c := range []byte(key) {
		if (c < 'A' || c > 'Z') && c != '_' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isDigit(s string, i int) bool { return i < len(s) && s[i] >= '0' && s[i] <= '9' }

func allDigits(s string) bool {
	for i := range s {
		if !isDigit(s, i) {
			return false
		}
	}
	return s != ""
}

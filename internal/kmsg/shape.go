// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"encoding/json"
	"slices"
	"strings"
)

// maxShapes bounds how many shapes of prefixes one log can teach.
const maxShapes = 32

// shape is what stood before the kernel's words in a line whose prefix was not
// known: a quote mark, the name of a file, a date of an unknown form, what some
// collector has put there. The lines around it have the same, but for numbers
// and names.
type shape struct {
	pattern string
	outer   bool // a known prefix follows, not the text.
	quote   byte // the text stands in such quotes; 0 if it does not.
}

// Marks in a pattern; whatever else is in it stands for itself.
const (
	anyDigits = '\x01'
	anyWord   = '\x02'
	anySpace  = '\x03'
)

// newShape learns from one prefix. Outer prefixes vary in their numbers only.
func newShape(prefix string, outer bool) shape {
	var b strings.Builder
	last := byte(0)
	for i := range len(prefix) {
		mark := prefix[i]
		switch c := prefix[i]; {
		case c == ' ' || c == '\t':
			mark = anySpace
		case outer && isDigit(prefix, i):
			mark = anyDigits
		case !outer && isWordByte(c):
			mark = anyWord
		}
		if mark != last || mark >= ' ' {
			b.WriteByte(mark)
		}
		last = mark
	}
	s := shape{pattern: b.String(), outer: outer}
	if text := strings.TrimRight(prefix, " "); text != "" && strings.IndexByte("\"'`", text[len(text)-1]) >= 0 {
		s.quote = text[len(text)-1]
	}
	return s
}

func isWordByte(c byte) bool {
	return c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("._+-@%~/", c) >= 0
}

// match returns how much of a line has this shape.
func (h *shape) match(s string) (int, bool) {
	i := 0
	for k := range len(h.pattern) {
		from := i
		switch mark := h.pattern[k]; mark {
		case anySpace:
			for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
				i++
			}
			continue // there may be no space: brackets may be padded.
		case anyDigits:
			for isDigit(s, i) {
				i++
			}
		case anyWord:
			for i < len(s) && isWordByte(s[i]) {
				i++
			}
		default:
			if i < len(s) && s[i] == mark {
				i++
			}
		}
		if i == from {
			return 0, false
		}
	}
	return i, true
}

// unquote undoes quoting: it removes the closing quote and what follows it, and
// undoes escapes.
func (h *shape) unquote(s string) string {
	switch h.quote {
	case 0:
		if text, ok := strings.CutSuffix(strings.TrimRight(s, " \t"), " |"); ok {
			return text
		}
		return s
	case '"':
		return unquoteDouble(s)
	default:
		if i := strings.LastIndexByte(s, h.quote); i >= 0 && i > len(s)-4 {
			return s[:i]
		}
		return s
	}
}

// unquoteDouble reads up to the closing quote: JSON puts a backslash before any
// other quote, CSV doubles it.
func unquoteDouble(s string) string {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"' && i+1 < len(s) && s[i+1] == '"':
			i++
		case s[i] == '"':
			s = s[:i]
		}
	}
	s = strings.ReplaceAll(s, `""`, `"`)
	if !strings.Contains(s, `\`) {
		return s
	}
	var text string
	if json.Unmarshal([]byte(`"`+strings.ReplaceAll(strings.ReplaceAll(s, `\"`, `"`), `"`, `\"`)+`"`), &text) == nil {
		return text
	}
	return s
}

// shapes are those learned from a log, the last one used first.
type shapes []shape

func (h *shapes) learn(s shape) {
	if slices.Contains(*h, s) {
		return
	}
	if len(*h) >= maxShapes {
		*h = (*h)[:maxShapes-1]
	}
	*h = append(shapes{s}, *h...)
}

// parse reads a line by the shapes that were learned. at is where the kernel's words
// begin, -1 if the line has none.
func (h *shapes) parse(s string, at int, opts LogOptions) (logLine, bool) {
	for k := range *h {
		sh := &(*h)[k]
		n, ok := sh.match(s)
		if !ok {
			continue
		}
		l, ok := sh.read(s, n, at, opts)
		if !ok {
			continue
		}
		if k > 0 {
			(*h)[0], (*h)[k] = (*h)[k], (*h)[0]
		}
		return l, true
	}
	return logLine{}, false
}

// learnQuote learns the quote marks before a line with the kernel's own prefix, even
// if the line says nothing about an OOM.
func (h *shapes) learnQuote(s string, opts LogOptions) (logLine, bool) {
	n := len(s) - len(strings.TrimLeft(s, "> |\t*+#"))
	if n == 0 || strings.TrimSpace(s[:n]) == "" {
		return logLine{}, false
	}
	l := parseLine(s[n:], opts)
	if l.form != formSyslog && !(l.form == formDmesg && l.rec.HasStamp) {
		return logLine{}, false
	}
	l.width += n
	h.learn(newShape(s[:n], true))
	return l, true
}

// outerOf returns the length of the learned outer prefix, such as a quote mark, that a
// line begins with; 0 if it has none.
func (h *shapes) outerOf(s string) int {
	for k := range *h {
		if sh := &(*h)[k]; sh.outer && strings.Trim(sh.pattern, "\x01\x02\x03") != "" {
			if n, ok := sh.match(s); ok {
				return n
			}
		}
	}
	return 0
}

// read reads a line whose first n bytes have this shape.
func (h *shape) read(s string, n, at int, opts LogOptions) (logLine, bool) {
	if h.outer {
		l := parseLine(s[n:], opts)
		l.width += n
		if l.form == formPlain || at >= 0 && l.form != formOther && l.width > at {
			return logLine{}, false
		}
		l.rec.Text = h.unquote(l.rec.Text)
		if l.rec.Time.IsZero() {
			dateInside(&l.rec, s[:n], opts)
		}
		return l, true
	}
	if at >= 0 && at != n {
		return logLine{}, false
	}
	l := logLine{rec: Record{Priority: -1}, form: formLearned, width: n}
	dateInside(&l.rec, s[:n], opts)
	l.rec.Text = h.unquote(s[n:])
	return l, true
}

// dateInside looks for a date and the kernel's clock in a prefix.
func dateInside(rec *Record, s string, opts LogOptions) {
	for i := range len(s) {
		if i > 0 && isWordByte(s[i-1]) {
			continue
		}
		p := prefix{rest: s[i:]}
		switch {
		case s[i] == '[':
			p.bracket(opts)
		case rec.Time.IsZero():
			text := s[i:]
			if end := strings.IndexAny(text, "\",;|]"); end >= 0 {
				text = text[:end]
			}
			if d, _, _, ok := cutDate(text+" ", opts); ok {
				p.setDate(d)
			}
		}
		if p.rec.HasStamp && !rec.HasStamp {
			rec.Stamp, rec.HasStamp = p.rec.Stamp, true
		}
		if !p.rec.Time.IsZero() && rec.Time.IsZero() {
			rec.Time, rec.NoYear, rec.NoZone = p.rec.Time, p.rec.NoYear, p.rec.NoZone
			rec.Approximate = rec.NoYear || rec.NoZone
		}
	}
}

// learnLine reads a line in which the kernel's words begin at byte at, after an unknown
// prefix, and remembers the prefix's shape. sure says that the words begin exactly
// there.
func (h *shapes) learnLine(s string, at int, sure bool, opts LogOptions) logLine {
	for j := 1; j < at; j++ {
		if s[j] == ' ' || isWordByte(s[j-1]) && isWordByte(s[j]) {
			continue
		}
		l := parseLine(s[j:], opts)
		if l.form == formOther && j+l.width <= at {
			l.width += j
			return l
		}
		if exact := l.width == at-j || !sure && l.width > 0 && l.width <= at-j; l.form != formPlain && exact {
			l.width += j
			sh := newShape(s[:j], true)
			h.learn(sh)
			l.rec.Text = sh.unquote(l.rec.Text)
			if l.rec.Time.IsZero() {
				dateInside(&l.rec, s[:j], opts)
			}
			return l
		}
	}
	if byProgram(s[:at]) {
		return logLine{form: formOther, width: at}
	}
	sh := newShape(s[:at], false)
	if sure {
		h.learn(sh)
	}
	l := logLine{rec: Record{Priority: -1}, form: formLearned, width: at}
	dateInside(&l.rec, s[:at], opts)
	l.rec.Text = sh.unquote(s[at:])
	return l
}

// byProgram tells whether a prefix ends in a program's name and process id.
func byProgram(prefix string) bool {
	head, ok := strings.CutSuffix(strings.TrimRight(prefix, " "), "]:")
	name, pid := head, ""
	if i := strings.LastIndexByte(head, '['); ok && i > 0 {
		name, pid = head[:i], head[i+1:]
	}
	return ok && allDigits(pid) && isWordByte(name[len(name)-1]) && !strings.HasSuffix(name, kernelTag)
}

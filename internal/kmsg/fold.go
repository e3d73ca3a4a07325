// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bufio"
	"bytes"
	"strings"
)

// folder holds a record back until it is known that no line continues it.
type folder struct {
	emit  func(Record)
	rec   Record
	form  form
	width int // of the record's prefix.
	held  bool
	seq   sequence
	lines uint64

	wrap   wrapping
	column int                      // where the last line ended.
	locate func(string) (int, bool) // LogOptions.Locate.
}

// add takes a line. located says that it begins with the kernel's words, so that
// it is hardly the rest of the line before.
func (f *folder) add(l logLine, text string, located bool, stats *LogStats) {
	f.lines++
	column := f.column
	f.column = len(text)
	switch {
	case f.folds(l, text):
		f.rec.Text += "\n" + text[f.width:]
		return
	case l.form == formPlain && f.wraps(column, text[l.width:]) && (!located || f.completes(column, text[l.width:])):
		f.rec.Text += f.wrap.glue(column, f.rec.Text) + text[l.width:]
		return
	}
	if l.form == formPlain && f.held && f.wrap.words && f.width > 0 && strings.TrimSpace(f.rec.Text) == "" {
		f.rec.Text = l.rec.Text // a word so long that it went to the next line.
		return
	}
	switch l.form {
	case formMore:
		return // a device record's KEY=value.
	case formOther:
		stats.Other++
		f.flush()
		return
	case formPlain:
		stats.Plain++
		l.rec.inherit(f.rec)
	default:
		stats.Kernel++
	}
	f.flush()
	f.rec, f.form, f.width, f.held = l.rec, l.form, l.width, true
	f.rec.Saved = true
	if l.form == formDevice {
		f.seq.mark(&f.rec)
		return
	}
	f.rec.Text = unescapeSyslog(f.rec.Text)
	f.rec.Seq, f.rec.Split = f.lines, true
}

// wraps tells whether a line is the rest of the one before it, which was too
// long for the paste.
func (f *folder) wraps(column int, text string) bool {
	if !f.held || f.locate == nil || !f.wrap.continues(column, f.rec.Text, text) {
		return false
	}
	if !f.wrap.words || f.width > 0 {
		return true
	}
	at, _ := f.locate(f.rec.Text)
	return at == 0
}

// completes tells whether a line that has the kernel's words is nevertheless the rest
// of the line before it, which has such words only together with this one. Where lines
// have prefixes, a line without one after a full line is its rest in any case.
func (f *folder) completes(column int, text string) bool {
	if !f.wrap.words && f.width > 0 {
		return true
	}
	if at, _ := f.locate(f.rec.Text); at >= 0 {
		return false
	}
	at, _ := f.locate(f.rec.Text + f.wrap.glue(column, f.rec.Text) + text)
	return at == 0
}

// inherit takes over what the prefix of the record before said: syslog daemons
// put none before the second line of a record.
func (r *Record) inherit(before Record) {
	if !before.Split || r.Host != "" || before.Host == "" && before.Time.IsZero() {
		return
	}
	text := r.Text
	boot := r.Boot
	*r = before
	r.Text, r.Lost, r.Caller = text, 0, 0
	if boot != "" {
		r.Boot = boot
	}
}

// unescapeSyslog restores the newlines and tabs that rsyslog escapes.
func unescapeSyslog(s string) string {
	if !strings.Contains(s, "#01") {
		return s
	}
	return strings.NewReplacer("#012", "\n", "#011", "\t", "#015", "").Replace(s)
}

// folds tells whether a line continues the record before it: dmesg and
// journalctl indent such lines by the width of the prefix.
func (f *folder) folds(l logLine, text string) bool {
	if !f.held || l.form != formPlain || f.width < minIndent || len(text) <= f.width {
		return false
	}
	return strings.TrimLeft(text[:f.width], " ") == "" && len(f.rec.Text)+len(text) <= maxFolded
}

// minIndent is below the width of any prefix that is followed by an indent.
const minIndent = 8

func (f *folder) flush() {
	if f.held {
		f.emit(f.rec)
	}
	f.held = false
}

// wrapping is how a paste was wrapped: at a column, or between words before it.
type wrapping struct {
	width int // 0: it was not.
	words bool
	// spaced says that the space at which a line was broken is still there, so
	// that a line without one was broken within a word.
	spaced bool
}

// Widths of terminals and mails.
const (
	minWrap = 60
	maxWrap = 180
)

// wrapWidth looks at the beginning of a log: a terminal fills lines up to its
// width, a mail breaks them before it. The kernel's lines about kills are
// longer.
func wrapWidth(br *bufio.Reader) wrapping {
	head, _ := br.Peek(64 << 10)
	all := bytes.Split(head, []byte{'\n'})
	longest := 0
	for i := range all {
		all[i] = bytes.TrimRight(all[i], "\r")
		longest = max(longest, len(all[i]))
	}
	if longest < minWrap || longest > maxWrap {
		return wrapping{}
	}
	w := wrapping{width: longest}
	full, breaks, spaced := 0, 0, 0
	for i, line := range all[:len(all)-1] {
		word, _, _ := bytes.Cut(bytes.TrimLeft(all[i+1], "> |"), []byte{' '})
		switch {
		case len(line) == longest:
			full++
		case len(word) > 0 && len(line)+1+len(word) > longest:
			breaks++
			if bytes.HasSuffix(line, []byte(" ")) {
				spaced++
			}
		}
	}
	// Words that are too long fill lines too.
	w.spaced = spaced*4 > full
	w.words = w.spaced || breaks > 0 && breaks >= full
	return w
}

// continues tells whether text is what did not fit on the line before it.
func (w wrapping) continues(column int, before, text string) bool {
	if w.width == 0 || text == "" || len(before) > maxFolded {
		return false
	}
	if !w.words || column == w.width {
		return column == w.width
	}
	word, _, _ := strings.Cut(strings.TrimLeft(text, " "), " ")
	return column+1+len(word) > w.width
}

// glue is what stood where the line was broken.
func (w wrapping) glue(column int, before string) string {
	if column == w.width && !w.words || w.spaced || strings.HasSuffix(before, " ") {
		return ""
	}
	return " "
}

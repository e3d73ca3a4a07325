// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxLine bounds a line of a saved log; what is beyond is cut off.
const maxLine = 64 << 10

// maxFolded bounds a record that is folded from several lines.
const maxFolded = 64 << 10

// LogOptions tells ReadLog what a saved log leaves open.
type LogOptions struct {
	// Location is the time zone of time stamps that don't name theirs; UTC
	// if nil.
	Location *time.Location
	// Now is the time by which a missing year is guessed: no record is from the
	// future. If zero, it is the time of the call.
	Now time.Time
	// Locate finds the kernel's words in a line whose prefix is not known, so
	// that the prefix can be learned: where they begin, -1 if there are none.
	// sure says that they begin exactly there. Without it only the known
	// forms are read.
	Locate func(line string) (at int, sure bool)
	// Hint tells quickly whether a line can have words that matter: it returns how
	// many of the lines after it can be of the same report, 0 if the line has no such
	// words. Other lines are not looked at. Without Hint all are.
	Hint func(line []byte) int

	memory *dateMemory
}

// locate returns where the kernel's words begin in a line, -1 if nowhere.
func (o LogOptions) locate(s string) int {
	if o.Locate == nil {
		return -1
	}
	at, _ := o.Locate(s)
	return at
}

// startsBy tells whether the kernel's words begin within the first n bytes.
func (o LogOptions) startsBy(s string, n int) bool {
	at := o.locate(s)
	return at >= 0 && at <= n
}

// LogStats counts what ReadLog saw.
type LogStats struct {
	Lines  int
	Kernel int // lines whose form says that the kernel printed them.
	Plain  int // lines without any prefix: the kernel's or not.
	Other  int // lines of other programs, skipped.
	Cut    int // lines that were too long and cut off.

	// Refused counts the lines that have the kernel's words, but that a
	// program has logged; Example is the first of them.
	Refused int
	Example string
	// Truncated says that the compressed input breaks off.
	Truncated bool
}

// ReadLog emits the records of a saved kernel log in whatever form people have
// it: what was read from /dev/kmsg, what dmesg, journalctl or a syslog daemon
// printed, JSON of a collector, a quoted or wrapped paste. Each line may have a
// different form. Unknown prefixes are learned by what follows them. Lines that
// continue a record are joined to it. Compression and UTF-16 are undone.
func ReadLog(r io.Reader, opts LogOptions, emit func(Record)) (LogStats, error) {
	if opts.Location == nil {
		opts.Location = time.UTC
	}
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	opts.memory = &dateMemory{}
	br, err := openText(r)
	if err != nil {
		return LogStats{}, fmt.Errorf("read kernel log: %w", err)
	}
	l := logReader{opts: opts, folder: folder{emit: emit, locate: opts.Locate}}
	l.folder.wrap = wrapWidth(br)
	err = l.run(br)
	l.folder.flush()
	if errors.Is(err, io.ErrUnexpectedEOF) && l.stats.Lines > 0 {
		l.stats.Truncated, err = true, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return l.stats, fmt.Errorf("read kernel log: %w", err)
	}
	return l.stats, nil
}

// firstLines are looked at in any case: the head of the first report may be
// missing.
const firstLines = 40000

// logReader reads one log.
type logReader struct {
	opts   LogOptions
	stats  LogStats
	folder folder
	shapes shapes
	entry  entry
	boot   string // the id in journalctl's last mark.
	near   int    // how many of the next lines are looked at.
}

func (l *logReader) run(br *bufio.Reader) error {
	var buf []byte
	for {
		if l.opts.Locate != nil && startsJSON(br) {
			if err := l.document(br); err != nil {
				return err
			}
			continue
		}
		var cut bool
		var err error
		if buf, cut, err = readLine(br, buf[:0]); err != nil {
			if done := l.entry.finish(); done != nil {
				l.fields(done)
			}
			return err
		}
		l.stats.Lines++
		if cut {
			l.stats.Cut++
		}
		if l.matters(buf) {
			l.line(cleanLine(buf))
		}
	}
}

// matters tells whether a line is worth a look.
func (l *logReader) matters(line []byte) bool {
	if l.opts.Hint == nil {
		return true
	}
	if n := l.opts.Hint(line); n > 0 {
		l.near = n
		return true
	}
	l.near--
	return l.near > 0 || l.stats.Lines < firstLines
}

// line reads one line of text.
func (l *logReader) line(s string) {
	if l.opts.Locate != nil {
		done, taken := l.entry.add(s)
		if done != nil {
			l.fields(done)
		}
		if taken || l.mark(s) {
			return
		}
		if f, ok := objectInside(s); ok {
			l.fields(f)
			return
		}
	}
	if strings.Count(s, `\n`) >= minEscaped {
		for part := range strings.SplitSeq(s, `\n`) {
			l.text(part)
		}
		return
	}
	l.text(s)
}

// minEscaped is how many `\n` a line must have to be taken for several lines: the
// kernel writes none.
const minEscaped = 3

func (l *logReader) text(s string) {
	parsed, located := l.parse(s)
	if parsed.rec.Boot == "" {
		parsed.rec.Boot = l.boot
	}
	l.folder.add(parsed, s, located, &l.stats)
}

// mark recognises the line that journalctl prints between boots.
func (l *logReader) mark(s string) bool {
	s, ok := strings.CutPrefix(s, "-- ")
	s, ok2 := strings.CutSuffix(s, " --")
	if !ok || !ok2 {
		return false
	}
	id, ok := strings.CutPrefix(s, "Boot ")
	if !ok && s != "Reboot" {
		return false
	}
	if id == s {
		id = fmt.Sprintf("mark %d", l.stats.Lines)
	}
	l.boot = id
	return true
}

// parse reads a line by the known forms, else by those learned from this log.
// located says that the kernel's words begin the line, after a quote mark at most.
func (l *logReader) parse(s string) (parsed logLine, located bool) {
	parsed = parseLine(s, l.opts)
	switch {
	case parsed.form == formOther:
		l.refuse(s)
		return parsed, false
	case parsed.form != formPlain || l.opts.Locate == nil:
		return parsed, false
	}
	at, sure := l.opts.Locate(s)
	if at >= 0 && strings.TrimLeft(s[:at], " ") == "" {
		parsed.rec.Text = s[at:]
		return parsed, true
	}
	if at < 0 || sure {
		if parsed, ok := l.shapes.parse(s, at, l.opts); ok {
			if parsed.form == formOther {
				l.refuse(s)
			}
			return parsed, false
		}
	}
	if at < 0 {
		if quoted, ok := l.shapes.learnQuote(s, l.opts); ok {
			return quoted, false
		}
	}
	n := l.shapes.outerOf(s)
	if n > 0 && n == at {
		parsed.width, parsed.rec.Text = n, s[n:]
		return parsed, true
	}
	if at < 0 || l.folder.wraps(l.folder.column, s[n:]) {
		parsed.width = n
		return parsed, false // or the rest of a wrapped line.
	}
	if parsed = l.shapes.learnLine(s, at, sure, l.opts); parsed.form == formOther {
		l.refuse(s)
	}
	return parsed, false
}

// refuse counts a program's line that has the kernel's words.
func (l *logReader) refuse(s string) {
	if l.opts.Hint == nil || l.opts.Hint([]byte(s)) == 0 || l.opts.locate(s) < 0 {
		return
	}
	if l.stats.Refused++; l.stats.Refused == 1 {
		l.stats.Example = s
	}
}

// document reads one JSON document, on one line or several. Text that only looks
// like JSON is read as lines.
func (l *logReader) document(br *bufio.Reader) error {
	d := document{object: l.fields}
	err := d.read(br)
	l.stats.Lines += d.lines
	if err == nil {
		return nil
	}
	if !errors.Is(err, errNoJSON) {
		return err
	}
	l.stats.Lines -= d.lines
	rest, _, err := readLine(br, nil)
	for line := range bytes.SplitSeq(append(d.buf, rest...), []byte("\n")) {
		l.stats.Lines++
		if l.matters(line) {
			l.line(cleanLine(line))
		}
	}
	return err
}

// fields reads one entry that has fields.
func (l *logReader) fields(f fields) {
	entry, other := f.record(l.opts)
	message := f.message(l.opts)
	if message == "" {
		return
	}
	if other {
		l.stats.Other++
		l.refuse(message)
		return
	}
	for text := range strings.SplitSeq(strings.TrimRight(message, "\r\n"), "\n") {
		text = cleanLine([]byte(text))
		parsed, _ := l.parse(text)
		if parsed.form == formPlain {
			parsed.form, parsed.width = formEntry, 0
		}
		parsed.rec.fill(entry)
		l.folder.add(parsed, text, true, &l.stats)
	}
}

// fill takes from an entry what its text does not say.
func (r *Record) fill(entry Record) {
	if r.Priority < 0 {
		r.Priority = entry.Priority
	}
	if r.Host == "" {
		r.Host = entry.Host
	}
	if r.Boot == "" {
		r.Boot = entry.Boot
	}
	if !r.HasStamp {
		r.Stamp, r.HasStamp = entry.Stamp, entry.HasStamp
	}
	if r.Time.IsZero() || r.NoYear || r.NoZone {
		if !entry.Time.IsZero() {
			r.Time, r.NoYear, r.NoZone, r.Approximate = entry.Time, entry.NoYear, entry.NoZone, entry.Approximate
		}
	}
}

// readLine appends the next line without its newline to buf, at most maxLine
// of it.
func readLine(br *bufio.Reader, buf []byte) (line []byte, cut bool, err error) {
	any := false
	for {
		chunk, err := br.ReadSlice('\n')
		any = any || len(chunk) > 0
		whole := err == nil
		if whole {
			chunk = chunk[:len(chunk)-1]
		}
		if room := maxLine - len(buf); len(chunk) > room {
			chunk, cut = chunk[:room], true
		}
		buf = append(buf, chunk...)
		switch {
		case whole:
			return buf, cut, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && any:
			return buf, cut, nil
		default:
			return buf, cut, err
		}
	}
}

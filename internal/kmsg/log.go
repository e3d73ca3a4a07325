// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// ErrUTF16 says that a saved log is in UTF-16, as some shells write it.
var ErrUTF16 = errors.New("the text is UTF-16: save it as UTF-8")

// maxLine bounds a line of a saved log; what is beyond is cut off.
const maxLine = 64 << 10

// maxFolded bounds a record that is folded from several lines.
const maxFolded = 64 << 10

// LogOptions tells ReadLog what a saved log leaves open.
type LogOptions struct {
	// Location is the time zone of time stamps that don't name theirs; UTC
	// if nil.
	Location *time.Location
	// Now is what years that are not written are guessed from: no record is
	// of the future. The time of the call if zero.
	Now time.Time
}

// LogStats counts what ReadLog saw.
type LogStats struct {
	Lines  int
	Kernel int // lines whose form says that the kernel printed them.
	Plain  int // lines without any prefix: the kernel's or not.
	Other  int // lines of other programs, skipped.
	Cut    int // lines that were longer than is sensible.
}

// ReadLog emits the records of a saved kernel log: what was read from
// /dev/kmsg, what dmesg printed (also with -T, -r, -x, --time-format), what
// journalctl -k printed, or a syslog file. Each line may have another form.
// Lines that continue a record are joined to it. gzip is undone.
func ReadLog(r io.Reader, opts LogOptions, emit func(Record)) (LogStats, error) {
	if opts.Location == nil {
		opts.Location = time.UTC
	}
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	br, err := openText(r)
	if err != nil {
		return LogStats{}, fmt.Errorf("read kernel log: %w", err)
	}
	f := folder{emit: emit}
	var stats LogStats
	var buf []byte
	for {
		var cut bool
		buf, cut, err = readLine(br, buf[:0])
		if errors.Is(err, io.EOF) {
			f.flush()
			return stats, nil
		}
		if err != nil {
			f.flush()
			return stats, fmt.Errorf("read kernel log: %w", err)
		}
		stats.Lines++
		if cut {
			stats.Cut++
		}
		text := stripColour(strings.TrimSuffix(string(buf), "\r"))
		f.add(parseLine(text, opts), text, &stats)
	}
}

// openText looks through gzip and byte order marks.
func openText(r io.Reader) (*bufio.Reader, error) {
	br := bufio.NewReader(r)
	head, _ := br.Peek(3)
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, err
		}
		br = bufio.NewReader(zr)
		head, _ = br.Peek(3)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return nil, ErrUTF16
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		_, _ = br.Discard(3)
	}
	return br, nil
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

// folder holds a record back until it is known that no line continues it.
type folder struct {
	emit  func(Record)
	rec   Record
	form  form
	width int // of the record's prefix.
	held  bool
	seq   sequence
	lines uint64
}

func (f *folder) add(l logLine, text string, stats *LogStats) {
	f.lines++
	if f.folds(l, text) {
		f.rec.Text += "\n" + text[f.width:]
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
	default:
		stats.Kernel++
	}
	f.flush()
	f.rec, f.form, f.width, f.held = l.rec, l.form, l.width, true
	if l.form == formDevice {
		f.seq.mark(&f.rec)
		return
	}
	f.rec.Seq, f.rec.Split = f.lines, true
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

// stripColour removes terminal colours, as dmesg --color=always makes them.
func stripColour(s string) string {
	if !strings.Contains(s, "\x1b[") {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		i := 0
		for i < len(rest) && (rest[i] == ';' || rest[i] >= '0' && rest[i] <= '9') {
			i++
		}
		if i < len(rest) && rest[i] == 'm' {
			i++
		} else {
			b.WriteString("\x1b[")
			i = 0
		}
		s = rest[i:]
	}
}

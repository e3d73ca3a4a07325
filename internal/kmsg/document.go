// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// maxObject bounds one object of a JSON log.
const maxObject = 1 << 20

var errNoJSON = errors.New("no JSON")

// startsJSON tells whether the next line begins a JSON document: an object, or
// an array of objects. A line of dmesg begins with a bracket too.
func startsJSON(br *bufio.Reader) bool {
	head, _ := br.Peek(200)
	head = bytes.TrimLeft(head, " \t\r\n")
	if len(head) == 0 || head[0] != '{' && head[0] != '[' {
		return false
	}
	next := bytes.TrimLeft(head[1:], " \t\r\n")
	if head[0] == '[' {
		return len(next) > 0 && next[0] == '{'
	}
	return len(next) > 0 && (next[0] == '"' || next[0] == '}')
}

// document takes objects out of a JSON document of any size, byte by byte. An
// object within an array is handed on as soon as it is complete, and forgotten.
type document struct {
	buf    []byte
	open   []int // offsets in buf of the brackets that are still open.
	quoted bool
	escape bool
	object func(fields)
	lines  int
}

// read reads one document. If it turns out not to be JSON, buf is what was read.
func (d *document) read(br *bufio.Reader) error {
	for {
		c, err := br.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return errNoJSON
			}
			return err
		}
		if c == '\n' {
			d.lines++
		}
		if d.between(c) {
			continue
		}
		d.buf = append(d.buf, c)
		if len(d.buf) > maxObject || !d.allowed(c) {
			return errNoJSON
		}
		if d.take(c) {
			d.skipEnd(br)
			return nil
		}
	}
}

// skipEnd reads over what ends the line of a document.
func (d *document) skipEnd(br *bufio.Reader) {
	for {
		c, err := br.ReadByte()
		if err != nil || c == '\n' {
			d.lines++
			return
		}
		if c != ' ' && c != ',' && c != '\r' {
			_ = br.UnreadByte()
			return
		}
	}
}

// between tells whether a byte only separates the elements of an array: then it need
// not be kept.
func (d *document) between(c byte) bool {
	n := len(d.open)
	return n > 0 && !d.quoted && d.buf[d.open[n-1]] == '[' && d.open[n-1] == len(d.buf)-1 &&
		bytes.IndexByte([]byte(", \t\r\n"), c) >= 0
}

// allowed tells whether a byte can be where it is.
func (d *document) allowed(c byte) bool {
	if d.quoted {
		return c != '\n'
	}
	return bytes.IndexByte([]byte(" \t\r\n\"{}[]:,-+.0123456789eEtruefalsnN"), c) >= 0
}

// take follows the nesting. It tells whether the document is complete.
func (d *document) take(c byte) bool {
	switch {
	case d.escape:
		d.escape = false
	case d.quoted:
		d.escape, d.quoted = c == '\\', c != '"'
	case c == '"':
		d.quoted = true
	case c == '{', c == '[':
		d.open = append(d.open, len(d.buf)-1)
	case c == '}', c == ']':
		if len(d.open) == 0 {
			return true
		}
		d.close()
		return len(d.open) == 0
	}
	return false
}

// close ends the innermost bracket. An object in an array is an entry of its own.
func (d *document) close() {
	n := len(d.open) - 1
	start := d.open[n]
	d.open = d.open[:n]
	if d.buf[start] != '{' || n > 0 && d.buf[d.open[n-1]] != '[' {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(d.buf[start:]))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) == nil {
		f := fields{}
		f.flatten("", object, 0)
		d.object(f)
	}
	d.buf = d.buf[:start] // so that the array does not grow.
	if n > 0 && d.open[n-1] != start-1 {
		d.buf = append(d.buf, "null"...)
	}
}

// objectInside decodes a JSON object within a line, after what a collector or
// grep has put before it.
func objectInside(s string) (fields, bool) {
	i := strings.Index(s, `{"`)
	if i < 0 || !strings.Contains(s[i:], `}`) {
		return nil, false
	}
	decoder := json.NewDecoder(strings.NewReader(s[i:]))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) != nil {
		return nil, false
	}
	f := fields{}
	f.flatten("", object, 0)
	return f, true
}

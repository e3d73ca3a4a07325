// SPDX-License-Identifier: Apache-2.0

// Package kmsg reads the kernel's log: live from /dev/kmsg or syslog(2), or
// from a saved file in any of the forms in which people keep it. It knows
// nothing about what the records say.
package kmsg

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Record is one record of the kernel's log.
type Record struct {
	Priority int           // facility*8 + level; -1 where the form does not tell.
	Seq      uint64        // the kernel's number; a running one where the form has none.
	Stamp    time.Duration // the kernel's clock since boot.
	HasStamp bool
	Cont     bool   // a fragment that the kernel could not join to its line.
	Text     string // raw bytes as the kernel printed them; may hold newlines.
	Lost     uint64 // records lost just before this one.

	// Split says that every line of text became a record of its own, so that a
	// newline in the kernel's record has split that in two.
	Split bool

	Time        time.Time // when it was printed; zero if unknown.
	Approximate bool      // Time was computed from the kernel's clock or a poll.
	ReadAt      time.Time // when it was read; zero for saved logs.

	// Saved says that it is from a saved log, any part of which may be missing,
	// duplicated or out of order.
	Saved bool
	// Of saved logs: who printed it, as far as the log tells.
	Host string // the machine; empty if unknown.
	Boot string // which boot of it; empty if unknown.
	// Caller is the task that printed it (CONFIG_PRINTK_CALLER); 0 if unknown.
	Caller int
	// The log has no year, or no zone: that of Time is assumed.
	NoYear, NoZone bool
	// Date is the date as it is written, where that is not a full time.
	Date string

	Backlog bool // it was there before the reader had caught up.
}

// Facility returns the syslog facility, 0 for the kernel's own records, -1 if
// unknown.
func (r Record) Facility() int {
	if r.Priority < 0 {
		return -1
	}
	return r.Priority >> 3
}

// Level returns the log level, 0 (emergency) to 7 (debug), -1 if unknown.
func (r Record) Level() int {
	if r.Priority < 0 {
		return -1
	}
	return r.Priority & 7
}

// FromKernel tells whether the kernel itself printed the record, as far as the
// form tells. User space may write to /dev/kmsg, but never as facility 0.
func (r Record) FromKernel() bool { return r.Facility() <= 0 }

var (
	errNoText = errors.New("no semicolon")
	errHeader = errors.New("malformed header")
)

// maxPriority is far above any priority that the kernel accepts.
const maxPriority = 1 << 16

// ParseRecord parses one read of /dev/kmsg: `prio,seq,usec,flag[,more];text`
// and lines of KEY=value, which are dropped; see
// Documentation/ABI/testing/dev-kmsg. Escapes are undone once.
func ParseRecord(b []byte) (Record, error) {
	head, text, ok := bytes.Cut(b, []byte{';'})
	if !ok {
		return Record{}, fmt.Errorf("parse kmsg record: %w", errNoText)
	}
	var numbers [3]uint64
	for i := range numbers {
		var field []byte
		field, head, _ = bytes.Cut(head, []byte{','})
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return Record{}, fmt.Errorf("parse kmsg record: %w", errHeader)
		}
		numbers[i] = n
	}
	if numbers[0] > maxPriority || numbers[2] > math.MaxInt64/uint64(time.Microsecond) {
		return Record{}, fmt.Errorf("parse kmsg record: %w", errHeader)
	}
	flag, _, _ := bytes.Cut(head, []byte{','})
	text, _, _ = bytes.Cut(text, []byte{'\n'})
	return Record{
		Priority: int(numbers[0]),
		Seq:      numbers[1],
		Stamp:    time.Duration(numbers[2]) * time.Microsecond,
		HasStamp: true,
		Cont:     bytes.ContainsAny(flag, "c+"),
		Text:     unescape(text),
	}, nil
}

// unescape turns \xNN back into the byte, as msg_add_ext_text of
// kernel/printk/printk.c made it. Any other backslash stays.
func unescape(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+3 < len(b) && b[i+1] == 'x' {
			hi, ok1 := hexDigit(b[i+2])
			lo, ok2 := hexDigit(b[i+3])
			if ok1 && ok2 {
				out = append(out, hi<<4|lo)
				i += 3
				continue
			}
		}
		out = append(out, b[i])
	}
	return string(out)
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}

// sequence tells from the numbers how many records are missing.
type sequence struct {
	next  uint64
	known bool
}

// mark sets r.Lost. A step back starts afresh: another boot's log.
func (s *sequence) mark(r *Record) {
	r.Lost = 0
	if s.known && r.Seq > s.next {
		r.Lost = r.Seq - s.next
	}
	s.next, s.known = r.Seq+1, true
}

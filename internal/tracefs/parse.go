// SPDX-License-Identifier: Apache-2.0

package tracefs

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/oom-exporter/oom_exporter/internal/kernfs"
)

// layout says what the event's text has.
type layout struct {
	comm bool // since 6.9, and in stable kernels before: pid and then comm.
}

var errNoPID = errors.New("no field named pid")

// parseFormat reads events/oom/mark_victim/format: one line a field, such as
// "field:int pid;	offset:8;	size:4;	signed:1;".
func parseFormat(b []byte) (l layout, err error) {
	pid := false
	for line := range bytes.Lines(b) {
		declaration, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("field:"))
		if !ok {
			continue
		}
		declaration, _, _ = bytes.Cut(declaration, []byte{';'})
		name := declaration[bytes.LastIndexAny(declaration, " \t")+1:]
		switch string(name) {
		case "pid":
			pid = true
		case "comm":
			l.comm = true
		}
	}
	if !pid {
		return l, fmt.Errorf("parse the format of oom:mark_victim: %w", errNoPID)
	}
	return l, nil
}

var (
	// marker is longer than any comm (15 bytes), so that none can forge it.
	marker    = []byte(": mark_victim: pid=")
	afterPID  = []byte(" comm=")
	afterComm = []byte(" total-vm=")
	lostBegin = []byte(" [LOST ")
	lostEnd   = []byte(" EVENTS]\n")
)

const maxComm = 15

// parse takes all whole events off b. It goes by the marker and not by lines:
// the names of the victim and of the task that allocated may hold newlines.
func (l layout) parse(b []byte) (victims []Victim, lost uint64, rest []byte) {
	for {
		i := bytes.Index(b, marker)
		head := b
		if i >= 0 {
			head = b[:i]
		}
		lost += parseLost(head)
		if i < 0 {
			// The beginning of a marker may be at the end.
			return victims, lost, b[max(bytes.LastIndexByte(b, '\n')+1, 0):]
		}
		v, n, whole := l.parseVictim(b[i+len(marker):])
		if !whole {
			return victims, lost, b[i:]
		}
		if v.PID > 0 {
			victims = append(victims, v)
		}
		b = b[i+len(marker)+n:]
	}
}

// parseVictim reads the text after the marker; n is how much it took. whole is
// false where the event's end has not been read yet.
func (l layout) parseVictim(b []byte) (v Victim, n int, whole bool) {
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	if n == len(b) {
		return v, n, n > 10 // no pid is that long.
	}
	pid, err := strconv.ParseUint(string(b[:n]), 10, 31)
	if err != nil {
		return v, n, true
	}
	v.PID = int(pid)
	if !l.comm {
		return v, n, true
	}
	text := b[n:]
	if len(text) < len(afterPID)+maxComm+len(afterComm) && !bytes.Contains(text, afterComm) && !bytes.HasSuffix(text, []byte{'\n'}) {
		return v, n, false
	}
	if !bytes.HasPrefix(text, afterPID) {
		return v, n, true
	}
	text = text[len(afterPID):]
	// The last possible place: the name itself may hold this text.
	end := bytes.LastIndex(text[:min(len(text), maxComm+len(afterComm))], afterComm)
	if end < 0 {
		return v, n, true
	}
	v.Comm = string(text[:end])
	return v, n + len(afterPID) + end, true
}

// parseLost adds up lines such as "CPU:1 [LOST 12 EVENTS]".
func parseLost(b []byte) (lost uint64) {
	for {
		i := bytes.Index(b, lostBegin)
		if i < 0 {
			return lost
		}
		b = b[i+len(lostBegin):]
		end := bytes.Index(b, lostEnd)
		if end < 0 {
			continue
		}
		if n, err := strconv.ParseUint(string(b[:end]), 10, 63); err == nil {
			lost += n
		}
	}
}

// pathIn returns the path of a process' memory cgroup from the root of the
// hierarchy. A dying process is often seen in the root, which is not believed.
func pathIn(of []procfs.Cgroup, unified bool, namespace string) string {
	// A cgroup that is already removed still has its path.
	p := strings.TrimSuffix(kernfs.MemoryCgroup(of, unified), " (deleted)")
	if p == "" || p == "/" {
		return ""
	}
	if strings.HasPrefix(p, "/..") && strings.Trim(namespace, "/") == "" {
		return "" // outside a cgroup namespace whose root we don't know.
	}
	return path.Join("/", namespace, p)
}

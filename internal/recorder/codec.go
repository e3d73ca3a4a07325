// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Recordings are kept as bytes: a series is columns of differences as varints,
// which take a tenth of the memory and are also the format of the file.

var errDamaged = errors.New("damaged")

// encoder appends to b.
type encoder struct{ b []byte }

func (e *encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) int(n int64)   { e.b = binary.AppendVarint(e.b, n) }
func (e *encoder) stamp(s stamp) { e.int(int64(s)) }
func (e *encoder) text(s string) { e.uint(uint64(len(s))); e.b = append(e.b, s...) }
func (e *encoder) bool(v bool) {
	if v {
		e.uint(1)
		return
	}
	e.uint(0)
}

// column appends n numbers as differences modulo 2^32. Most of what a kill costs
// the recorder is spent here: writing e.b each time would take twice as long.
func (e *encoder) column(n int, get func(i int) uint32) {
	b, last := e.b, uint32(0)
	for i := range n {
		v := get(i)
		b = binary.AppendVarint(b, int64(int32(v-last)))
		last = v
	}
	e.b = b
}

// stamps appends n times as differences.
func (e *encoder) stamps(n int, get func(i int) stamp) {
	b, last := e.b, stamp(0)
	for i := range n {
		v := get(i)
		b = binary.AppendVarint(b, int64(v-last))
		last = v
	}
	e.b = b
}

// decoder consumes b; after an error everything it returns is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.err, d.b = errDamaged, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.err, d.b = errDamaged, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) stamp() stamp { return stamp(d.int()) }
func (d *decoder) bool() bool   { return d.uint() == 1 }

// count reads how many things follow that take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.err, d.b = errDamaged, nil
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.count(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) column(n int, set func(i int, v uint32)) {
	var last uint32
	for i := range n {
		last += uint32(int32(d.int()))
		set(i, last)
	}
}

func (d *decoder) stamps(n int, set func(i int, v stamp)) {
	var last stamp
	for i := range n {
		last += d.stamp()
		set(i, last)
	}
}

// columns is how many packed numbers a slot has.
const columns = 10

// column returns the packed number of a slot that is at this place in the order of
// the file.
func (v *slot) column(place int) *packed {
	switch place {
	case 0:
		return &v.usage
	case 1:
		return &v.limit
	case 2:
		return &v.unreclaimable
	case 3:
		return &v.anon
	case 4:
		return &v.shmem
	case 5:
		return &v.file
	case 6:
		return &v.kernel
	case 7:
		return &v.hits
	case 8:
		return &v.stalled
	}
	return &v.processes
}

func (e *encoder) slots(all []slot) {
	e.uint(uint64(len(all)))
	e.stamps(len(all), func(i int) stamp { return all[i].at })
	for place := range columns {
		e.column(len(all), func(i int) uint32 { return uint32(*all[i].column(place)) })
	}
}

func (d *decoder) slots() []slot {
	all := make([]slot, d.count(1+columns))
	d.stamps(len(all), func(i int, v stamp) { all[i].at = v })
	for place := range columns {
		d.column(len(all), func(i int, v uint32) { *all[i].column(place) = packed(v) })
	}
	return all
}

func (e *encoder) spans(all spans) {
	e.uint(uint64(len(all)))
	for _, p := range all {
		e.stamp(p.start)
		e.uint(uint64(p.count))
		for _, n := range []packed{p.usageMin, p.usageMax, p.unreclMin, p.unreclMax} {
			e.uint(uint64(n))
		}
	}
}

func (d *decoder) spans() spans {
	all := make(spans, 0, d.count(6))
	for range cap(all) {
		p := span{start: d.stamp(), count: uint32(min(d.uint(), uint64(spanMost)))}
		for _, n := range []*packed{&p.usageMin, &p.usageMax, &p.unreclMin, &p.unreclMax} {
			*n = packed(d.uint())
		}
		all = append(all, p)
	}
	return all
}

func (e *encoder) tasks(all []task) {
	e.uint(uint64(len(all)))
	for _, t := range all {
		e.int(int64(t.pid))
		e.uint(t.start)
		e.text(t.comm)
		e.uint(uint64(len(t.points)))
		e.stamps(len(t.points), func(i int) stamp { return t.points[i].at })
		e.column(len(t.points), func(i int) uint32 { return uint32(t.points[i].rss) })
	}
}

func (d *decoder) tasks() []task {
	all := make([]task, 0, d.count(4))
	for range cap(all) {
		t := task{pid: int32(d.int()), start: d.uint(), comm: d.text()}
		t.points = make([]point, d.count(2))
		d.stamps(len(t.points), func(i int, v stamp) { t.points[i].at = v })
		d.column(len(t.points), func(i int, v uint32) { t.points[i].rss = packed(v) })
		all = append(all, t)
	}
	return all
}

func (e *encoder) frozen(f *frozen) {
	e.text(f.path)
	e.text(f.workload.Namespace)
	e.text(f.workload.Pod)
	e.text(f.workload.Container)
	e.uint(uint64(f.kind))
	e.bool(f.isBorn)
	e.stamp(f.born)
	e.slots(f.fine)
	e.slots(f.medium)
	e.spans(f.coarse)
	e.tasks(f.tasks)
}

func (d *decoder) frozen() frozen {
	f := frozen{path: d.text()}
	f.workload = oom.Workload{Namespace: d.text(), Pod: d.text(), Container: d.text()}
	f.kind = oom.Kind(min(d.uint(), uint64(oom.KindSandbox)))
	f.isBorn, f.born = d.bool(), d.stamp()
	f.fine, f.medium, f.coarse, f.tasks = d.slots(), d.slots(), d.spans(), d.tasks()
	return f
}

// encode returns the recording as bytes.
func (c *recording) encode() []byte {
	e := &encoder{b: make([]byte, 0, 8<<10)}
	e.text(c.id)
	e.int(c.taken.UnixMilli())
	e.stamp(c.takenAt)
	e.int(int64(c.gap / time.Millisecond))
	e.bool(c.gap >= 0)
	e.frozen(&c.victim)
	e.frozen(&c.node)
	e.bool(c.owner != nil)
	if c.owner != nil {
		e.frozen(c.owner)
	}
	e.uint(uint64(len(c.siblings)))
	for i := range c.siblings {
		e.frozen(&c.siblings[i])
	}
	return slices.Clone(e.b) // without spare capacity.
}

// decodeRecording is the inverse of encode.
func decodeRecording(b []byte) (*recording, error) {
	d := &decoder{b: b}
	c := &recording{id: d.text(), taken: time.UnixMilli(d.int()), takenAt: d.stamp()}
	c.gap = time.Duration(min(max(d.int(), 0), int64(time.Hour/time.Millisecond))) * time.Millisecond
	if !d.bool() {
		c.gap = -1
	}
	c.victim, c.node = d.frozen(), d.frozen()
	if d.bool() {
		owner := d.frozen()
		c.owner = &owner
	}
	for range min(d.count(1), mostSiblings) {
		c.siblings = append(c.siblings, d.frozen())
	}
	if d.err != nil || len(d.b) != 0 {
		return nil, errDamaged
	}
	return c, nil
}

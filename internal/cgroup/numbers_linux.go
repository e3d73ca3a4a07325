// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// compareEvery is how often what Numbers says is compared with the files.
	compareEvery = time.Hour
	// mostCompared is about how many cgroups are.
	mostCompared = 1000
	// mostFailures is how many full passes in a row may have to do without a list, and
	// failTime for how long: somebody who waits for memory may hold the lock for seconds.
	mostFailures = 10
	failTime     = time.Minute
	// listTime is how long a pass waits for a list. The kernel makes it under a lock that
	// somebody who waits for memory may hold; the files need no such lock.
	listTime = 200 * time.Millisecond
)

// listed are the numbers that a pass takes from Numbers instead of from files.
type listed struct {
	source   Numbers
	failed   func(error)
	why      error       // there is no source.
	pending  chan answer // of a pass that did not wait for it.
	failures int         // of full passes in a row,
	failing  time.Time   // since when.
	rows     []oom.CgroupNumbers
	byInode  map[uint64]int
	exists   uint64 // the files that have been read of some cgroup, as a set.

	compared time.Time // when it was.
	agrees   bool      // it did then.
	doubts   int       // comparisons in a row in which it did not.
	looked   int       // cgroups in this one.
	tallies  map[string]tally
	examples []error // of differences.
}

// tally is what came of comparing one number of each cgroup.
type tally struct{ telling, differ int }

// answer is what one reading of the list brought.
type answer struct {
	rows []oom.CgroupNumbers
	err  error
}

// Use has the hierarchy take numbers from a list from now on, as long as it can be had and
// agrees with the files. failed is called once, when that is no longer so; it must not
// call the Hierarchy.
func (h *Hierarchy) Use(source Numbers, failed func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listed = listed{source: source, failed: failed, byInode: map[uint64]int{}, exists: h.listed.exists}
}

// ListError is nil while numbers are taken from a list; else it says why they are not.
func (h *Hierarchy) ListError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listed.why
}

// begin lists the cgroups for a pass, and tells whether their numbers are to be taken from
// the list or, when their time has come, to be compared with it: then all is read from
// files. Until they have agreed once, kills are, too.
func (l *listed) begin(now time.Time, kills bool) (lists, compares bool) {
	if l.source == nil || kills && !l.agrees {
		return false, false
	}
	rows, err := l.read()
	if err != nil {
		l.fail(err, now, kills)
		return false, false
	}
	l.failures, l.rows = 0, rows
	clear(l.byInode)
	for i := range rows {
		l.byInode[rows[i].Inode] = i
	}
	if kills || l.agrees && now.Sub(l.compared) < compareEvery {
		return true, false
	}
	l.looked, l.tallies, l.examples = 0, map[string]tally{}, nil
	return false, true
}

// fail notes that a pass has to do without a list, and ends it where that has been so for
// too long.
func (l *listed) fail(err error, now time.Time, kills bool) {
	if kills {
		return
	}
	if l.failures++; l.failures == 1 {
		l.failing = now
	}
	if l.failures >= mostFailures && now.Sub(l.failing) >= failTime {
		l.end(fmt.Errorf("in %d scrapes: %w", l.failures, err))
	}
}

var errLate = fmt.Errorf("no list within %v", listTime)

// read waits a while for a list. One that comes late is of no use any more.
func (l *listed) read() ([]oom.CgroupNumbers, error) {
	if l.pending != nil {
		select {
		case <-l.pending:
			l.rows = nil // they were handed to it.
		default:
			return nil, errLate
		}
	}
	done, source, rows := make(chan answer, 1), l.source, l.rows
	go func() {
		rows, err := source.Read(rows)
		done <- answer{rows, err}
	}()
	timer := time.NewTimer(listTime)
	defer timer.Stop()
	select {
	case got := <-done:
		l.pending = nil
		return got.rows, got.err
	case <-timer.C:
		l.pending, l.rows = done, nil
		return nil, errLate
	}
}

// end reads files from now on.
func (l *listed) end(err error) {
	l.failed(err)
	*l = listed{exists: l.exists, why: err}
}

// readBy says what the numbers of a pass are read by, or would have been but for a
// comparison.
func (p *pass) readBy() string {
	if p.lists || p.compares && p.h.listed.agrees {
		return oom.ByBPF
	}
	return oom.ByCgroupfs
}

// listed returns the numbers of a cgroup, nil where they have to be read. Those of the root
// are sums that the kernel makes up for the files.
func (p *pass) listed(inode uint64) *oom.CgroupNumbers {
	l := &p.h.listed
	i, ok := l.byInode[inode]
	if !p.lists || !ok || l.rows[i].Parent == 0 {
		return nil
	}
	return &l.rows[i]
}

// listedNumber returns the number that a file of the current cgroup would have; false where it
// has to be read. Whether the kernel has the file only the file says.
func (p *pass) listedNumber(f file) (oom.Amount, bool) {
	n := p.numbers
	if n == nil || p.h.listed.exists&(1<<f) == 0 {
		return oom.Amount{}, false
	}
	switch f {
	case v1Usage, v2Current:
		return n.Usage, true
	case v1Limit, v2Max:
		return n.Limit, true
	case v1Failcnt:
		return n.LimitHits, true
	case v1Kmem:
		return n.Kernel, n.Kernel.IsSet()
	case v1Peak, v2Peak:
		return n.Peak, true
	case v1MemswUsage:
		return n.MemswUsage, true
	case v1MemswLimit:
		return n.MemswLimit, true
	case v1Swappiness:
		return n.Swappiness, n.Swappiness.IsSet()
	case v2High:
		return n.High, true
	case v2SwapCurrent:
		return n.SwapUsage, true
	case v2SwapMax:
		return n.SwapLimit, true
	case v2Min:
		return n.Min, true
	case v2OOMGroup:
		return n.OOMGroup, true
	}
	return oom.Amount{}, false
}

// mostPath is the length of the longest path by which a cgroup is opened: with another
// name the kernel must bear it, too (PATH_MAX).
const mostPath = unix.PathMax - 256 - 1

// isListed tells whether the list has all that is wanted of a cgroup, so that its
// directory need not be opened unless a file turns out to be needed. In turn each is
// opened all the same: cgroup v1 allows renaming, and a directory may get another owner.
func (p *pass) isListed(n *node, up level) bool {
	row := p.listed(n.inode)
	if row == nil || n.made == 0 || len(n.path) > mostPath || up.index < 0 || row.Parent != p.tree.Groups[up.index].Inode || n.left > 0 || row.Children != uint64(len(n.children)) {
		return false
	}
	return p.kills || n.kept.known && (p.online <= 1 || p.h.place.version == 2) && !p.isTurn(n)
}

// readListed reads a cgroup of the list and its descendants.
func (p *pass) readListed(n *node, up level) (gone bool, err error) {
	n.pass = p.h.pass
	p.opened = nil
	p.setCurrent(n, -1)
	index, down, ok := p.readCgroup(up, uint64(2+len(n.children)))
	if down.fd >= 0 {
		defer func() { _ = unix.Close(down.fd) }()
	}
	if !ok {
		n.reset()
		p.skipped.VanishedGroups++
		return false, nil
	}
	if err := p.readChildren(n, down, uint64(2+len(n.children))); err != nil {
		return false, err
	}
	p.subtractChildren(n, down.fd, index)
	return false, p.fatalErr()
}

// openLate opens the directory of the current cgroup if it is not open yet.
func (p *pass) openLate() unix.Errno {
	if p.fd >= 0 {
		return 0
	}
	fd, errno := p.openPath(p.node)
	if errno == 0 {
		p.fd = fd
	}
	return errno
}

// openPath opens the directory of a cgroup by its whole path. It is not there if that
// belongs to another cgroup by now.
func (p *pass) openPath(n *node) (fd int, errno unix.Errno) {
	fd, errno = openat(p.rootFD, strings.TrimPrefix(n.path, "/")+"\x00", openDirFlags)
	if errno != 0 {
		return -1, errno
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Ino != n.inode {
		_ = unix.Close(fd)
		return -1, unix.ENOENT
	}
	return fd, 0
}

// compare holds what is listed of the current cgroup against its files: numbers that
// somebody writes, or that rise seldom, so that they hardly move between the two.
func (p *pass) compare() {
	l := &p.h.listed
	at, ok := l.byInode[p.node.inode]
	some := p.node.inode * 0x9e3779b97f4a7c15 >> 32 // inodes may all have a factor in common.
	if !ok || l.rows[at].Parent == 0 || some%uint64(len(l.rows)/mostCompared+1) != 0 {
		return
	}
	n := &l.rows[at]
	l.looked++
	p.compareWith(v1Limit, v2Max, n.Limit)
	p.compareWith(v1Swappiness, v2High, either(p.h.place.version, n.Swappiness, n.High))
	p.compareWith(v1MemswLimit, v2SwapMax, either(p.h.place.version, n.MemswLimit, n.SwapLimit))
	p.compareWith(v1Peak, v2Peak, n.Peak)
	p.compareWith(v1Failcnt, v2OOMGroup, either(p.h.place.version, n.LimitHits, n.OOMGroup))
	if p.h.place.version == 1 {
		if b, ok := p.readFile(v1OOMControl); ok {
			_, _, kills := parseOOMControl(b)
			l.compare(p.node.path, "oom_kill", n.Events.OwnKills, kills, rises)
		}
	} else if b, ok := p.readFile(v2Events); ok {
		e := parseEvents(b)
		l.compare(p.node.path, "oom_kill", n.Events.OwnKills, e.OwnKills, rises)
		l.compare(p.node.path, "max", n.Events.Max, e.Max, rises)
	}
	if b, ok := p.readFile(v2EventsLocal); ok && p.h.place.version == 2 {
		e := parseEvents(b)
		l.compare(p.node.path, "local oom_kill", n.LocalEvents.OwnKills, e.OwnKills, rises)
		l.compare(p.node.path, "local max", n.LocalEvents.Max, e.Max, rises)
	}
}

func either(version int, v1, v2 oom.Amount) oom.Amount {
	if version == 1 {
		return v1
	}
	return v2
}

// compareWith compares a number with the one in a file of either version.
func (p *pass) compareWith(v1, v2 file, listed oom.Amount) {
	f := v1
	if p.h.place.version == 2 {
		f = v2
	}
	if p.h.listed.exists&(1<<f) == 0 || !listed.IsSet() {
		return
	}
	read := p.readNumber
	if f == v1Limit || f == v1MemswLimit {
		read = p.readLimitV1
	}
	p.h.listed.compare(p.node.path, f.String(), listed, read(f), f == v1Peak || f == v2Peak || f == v1Failcnt)
}

// rises says of a number that it may have risen since it was listed.
const rises = true

// compare counts a number that is 0 or unlimited, or not there, on both sides for nothing:
// that would be so of a wrong field, too.
func (l *listed) compare(path, what string, listed, read oom.Amount, rises bool) {
	if !read.IsSet() || listed.Or(0) == 0 && read.Or(0) == 0 {
		return
	}
	t := l.tallies[what]
	t.telling++
	low, high := listed.Or(0), read.Or(0)
	if listed != read && !(rises && low <= high && high-low <= low) {
		t.differ++
		if len(l.examples) < 3 {
			l.examples = append(l.examples, fmt.Errorf("%s of %s is %v, listed %v", what, path, read, listed))
		}
	}
	l.tallies[what] = t
}

// mostDoubts is how many comparisons in a row have to show more than what moves between
// the list and the reading of a file.
const mostDoubts = 3

// checked ends the list if it did not agree with the files, or none of its cgroups was
// found, in some comparisons in a row.
func (l *listed) checked() {
	doubtful := l.looked == 0 && len(l.rows) > 1
	for _, t := range l.tallies {
		doubtful = doubtful || 2*t.differ > t.telling
	}
	if l.agrees = !doubtful; l.agrees {
		l.doubts, l.compared = 0, time.Now()
		return
	}
	if l.doubts++; l.doubts >= mostDoubts {
		l.end(fmt.Errorf("%d of %d cgroups were compared with their files: %w", l.looked, len(l.rows), errors.Join(l.examples...)))
	}
}

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
	// mostCompared is how many cgroups are.
	mostCompared = 32
)

// listed are the numbers that a pass takes from Numbers instead of from files.
type listed struct {
	source  Numbers
	failed  func(error)
	rows    []oom.CgroupNumbers
	byInode map[uint64]int
	below   map[uint64]int // how many children each has.
	exists  uint64         // the files that have been read of some cgroup, as a set.
	last    time.Time

	looked, differ int
	difference     error
}

// Use has the hierarchy take numbers from a list from now on, as long as it can be had and
// agrees with the files. failed is called once, when that is no longer so; it must not
// call the Hierarchy.
func (h *Hierarchy) Use(source Numbers, failed func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listed = listed{source: source, failed: failed, byInode: map[uint64]int{}, below: map[uint64]int{}, exists: h.listed.exists}
}

// IsListed tells whether numbers are taken from a list.
func (h *Hierarchy) IsListed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listed.source != nil
}

// begin lists the cgroups for a pass, and tells whether that could be done and whether
// this is a pass to compare in.
func (l *listed) begin(now time.Time, kills bool) (lists, compares bool) {
	if l.source == nil {
		return false, false
	}
	rows, err := l.source.Read(l.rows)
	if err != nil {
		l.end(err)
		return false, false
	}
	l.rows = rows
	clear(l.byInode)
	clear(l.below)
	for i := range rows {
		l.byInode[rows[i].Inode] = i
		l.below[rows[i].Parent]++
	}
	if kills || now.Sub(l.last) < compareEvery {
		return true, false
	}
	l.last, l.looked, l.differ, l.difference = now, 0, 0, nil
	return true, true
}

// end reads files from now on.
func (l *listed) end(err error) {
	l.failed(err)
	*l = listed{exists: l.exists}
}

// name says what numbers are read by.
func (l *listed) name() string {
	if l.source != nil {
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

// isListed tells whether the list has all that is wanted of a cgroup, so that its
// directory need not be opened unless a file turns out to be needed. In turn each is
// opened all the same: cgroup v1 allows renaming, and a directory may get another owner.
func (p *pass) isListed(n *node, up level) bool {
	l := &p.h.listed
	row := p.listed(n.inode)
	if row == nil || up.index < 0 || p.compares || row.Parent != p.tree.Groups[up.index].Inode || n.left > 0 || l.below[n.inode] != len(n.children) {
		return false
	}
	return p.kills || n.kept.known && p.online <= 1 && !p.isTurn(n)
}

// readListed reads a cgroup of the list and its descendants.
func (p *pass) readListed(n *node, up level) (gone bool, err error) {
	n.pass = p.h.pass
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
// somebody writes, so that they hardly move between the two.
func (p *pass) compare() {
	l := &p.h.listed
	n := p.listed(p.node.inode)
	if n == nil || l.looked >= mostCompared {
		return
	}
	limit, hits, kills := oom.Amount{}, oom.Amount{}, oom.Amount{}
	if p.h.place.version == 1 {
		limit, hits = p.readLimitV1(v1Limit), p.readNumber(v1Failcnt)
		if b, ok := p.readFile(v1OOMControl); ok {
			_, _, kills = parseOOMControl(b)
		}
	} else {
		limit = p.readNumber(v2Max)
		if b, ok := p.readFile(v2Events); ok {
			e := parseEvents(b)
			hits, kills = e.Max, e.OwnKills
			n.LimitHits = n.Events.Max
		}
	}
	l.looked++
	for _, c := range []struct {
		name         string
		listed, read oom.Amount
	}{{"limit", n.Limit, limit}, {"hits of the limit", n.LimitHits, hits}, {"kills", n.Events.OwnKills, kills}} {
		if c.read.IsSet() && c.listed != c.read {
			l.differ++
			l.difference = errors.Join(l.difference, fmt.Errorf("%s: %s %v, by its file %v", p.node.path, c.name, c.listed, c.read))
			return
		}
	}
}

// checked ends the list if the comparison of a pass showed more than what moves.
func (l *listed) checked() {
	if l.source != nil && l.differ > l.looked/2 {
		l.end(fmt.Errorf("%d of %d cgroups differ from their files: %w", l.differ, l.looked, l.difference))
	}
}

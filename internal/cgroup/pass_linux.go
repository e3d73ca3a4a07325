// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// absentAfter is how many cgroups in a row must lack an optional file before the
// kernel is assumed not to have it.
const absentAfter = 16

// pass is one walk over the hierarchy.
type pass struct {
	h       *Hierarchy
	kills   bool // for ReadKills: only kill counters are read.
	tree    oom.Tree
	skipped oom.Skipped
	rows    []*node // of the tree's groups.
	rootFD  int
	effort  int  // how many directories over the bound may still be opened to count their children.
	chosen  bool // the cgroups to read have been chosen: there are more than may be read.
	noSwap  bool // the node has none.
	online  int  // NUMA nodes; more than 1 only when cpuset.mems is wanted.

	dentries oom.Amount // of the machine, in use; only where they are wanted.

	odd bool // children counted more kills than their parent.

	misses [numFiles]uint8
	absent uint64 // set of files.

	// Of the group that is being read:
	node    *node
	ahead   oom.Events // memory.events, where it was read before the rest.
	isAhead bool
	fd      int
	missing uint64 // set of files.
	due     bool   // all of its files are read.
	// Its usage and limit are what they were, and it is not due.
	unchanged bool
	leaf      bool // it has no children.
	denied    bool
	fatal     unix.Errno

	numbers  *oom.CgroupNumbers // of the group that is being read; nil: they are read.
	lists    bool               // there is a list of now.
	compares bool               // what is listed is compared with the files.

	mayOpen int            // groups that may be kept open.
	opened  *openGroup     // of the group that is being read, if it is kept open;
	usage   [openText]byte // the text of its usage,
	read    int            // and the length of that.
}

// level is what reading a child needs to know of its parent.
type level struct {
	fd           int // of the parent directory.
	cpuset       int // v1: of the same group in the cpuset hierarchy, -1 for none.
	index        int // of the parent in the tree, -1 at the root.
	depth        int
	hierarchical bool
	mems         []int
}

func (h *Hierarchy) begin(kills bool) (*pass, error) {
	p := &pass{h: h, kills: kills, effort: max(h.options.MaxGroups, 32<<10)}
	fd, err := unix.Open(h.place.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the cgroup hierarchy: %w", &fs.PathError{Op: "open", Path: h.place.dir, Err: err})
	}
	p.rootFD = fd
	h.pass++
	if !kills {
		h.reads++
	}
	p.tree = oom.Tree{Version: h.place.version}
	p.noSwap = h.options.Refresh > 1 && h.place.version == 2 && h.withoutSwap()
	if !kills && h.options.Parts&PartProtection != 0 {
		p.online = h.onlineNodes()
		p.dentries = h.dentriesInUse()
	}
	return p, nil
}

func (p *pass) end() {
	_ = unix.Close(p.rootFD)
	if p.odd && p.h.scope != scopeOwn {
		if p.h.odd++; p.h.odd >= oddPasses {
			p.h.scope = scopeOwn
		}
	}
}

// readAll reads the whole tree or, where that has more cgroups than may be read, a fair
// choice of them, which each full pass makes again.
func (p *pass) readAll() error {
	p.chosen = p.kills && p.h.crowded
	p.tree.Groups = p.h.rowsFor(p.kills)
	if p.h.crowded && !p.kills {
		if err := p.choose(); err != nil {
			return err
		}
	}
	err := p.walk()
	if !errors.Is(err, errCrowded) {
		return err
	}
	p.tree.Groups, p.rows, p.skipped, p.fatal = p.tree.Groups[:0], p.rows[:0], oom.Skipped{}, 0
	if err := p.choose(); err != nil {
		return err
	}
	p.h.pass++ // so that no cgroup counts as seen yet.
	return p.walk()
}

func (p *pass) walk() error {
	h := p.h
	top := level{fd: p.rootFD, cpuset: -1, index: -1}
	if p.online > 1 && h.place.cpuset != "" {
		if fd, err := unix.Open(h.place.cpuset, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			defer func() { _ = unix.Close(fd) }()
			top.cpuset = fd
		}
	}
	if _, err := p.readSubtree(h.root, top); err != nil {
		return err
	}
	return p.fatalErr()
}

// rowsFor returns memory for the groups of a pass: for ReadKills always the same,
// else what Recycle was given.
func (h *Hierarchy) rowsFor(kills bool) []oom.Group {
	most := min(h.groups+h.groups/8+16, h.options.MaxGroups)
	rows := h.storm.rows
	if !kills {
		rows, h.spare = h.spare, nil
	}
	if cap(rows) < h.groups || cap(rows) > 4*most {
		rows = make([]oom.Group, 0, most)
	}
	return rows[:0]
}

// Recycle takes back the memory of a tree that is no longer in use.
func (h *Hierarchy) Recycle(tree oom.Tree) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spare = tree.Groups
}

// fatalErr returns the error that ends the pass, if any: running out of descriptors
// must not look like cgroups that are unreadable or gone.
func (p *pass) fatalErr() error {
	if p.fatal == 0 {
		return nil
	}
	if errors.Is(p.fatal, unix.EMFILE) {
		return fmt.Errorf("%w: raise the limit of open files (ulimit -n)", p.fatal)
	}
	return p.fatal
}

// readFile reads a file of the current cgroup; ok is false if it does not exist or
// cannot be read.
func (p *pass) readFile(f file) (b []byte, ok bool) {
	if p.absent&(1<<f) != 0 {
		return nil, false
	}
	if !p.callHook(f) {
		return nil, false
	}
	b, errno, ok := p.readKeptOpen(f)
	if !ok {
		if errno = p.openLate(); errno != 0 {
			return nil, p.noteErrno(f, errno)
		}
		b, errno = readAt(p.fd, files[f].name, p.h.buf)
	}
	return b, p.noteErrno(f, errno)
}

// callHook calls the hook that tests set; it is false if the hook returned an error.
func (p *pass) callHook(f file) bool {
	if p.h.hook == nil {
		return true
	}
	return p.noteErrno(f, p.h.hook(p.node.path, f.String()))
}

// noteErrno records the outcome of reading f, and tells whether it succeeded.
func (p *pass) noteErrno(f file, errno unix.Errno) bool {
	switch errno {
	case 0:
		p.misses[f] = 0
		p.h.listed.exists |= 1 << f
		return true
	case unix.ENOENT, unix.ENODEV:
		p.missing |= 1 << f
	case unix.EOPNOTSUPP: // pressure with psi=0, cgroup.procs of a threaded group.
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM:
		p.fatal = errno
	default:
		p.denied = true
	}
	return false
}

func (p *pass) readNumber(f file) oom.Amount {
	if n, ok := p.listedNumber(f); ok {
		return n
	}
	b, ok := p.readFile(f)
	if !ok {
		return oom.Amount{}
	}
	return parseNumber(b)
}

func (p *pass) readLimitV1(f file) oom.Amount {
	if n, ok := p.listedNumber(f); ok {
		return n
	}
	b, ok := p.readFile(f)
	if !ok {
		return oom.Amount{}
	}
	return parseLimitV1(b, p.h.pageSize)
}

// setCurrent makes n, open at fd, the group that is being read.
func (p *pass) setCurrent(n *node, fd int) {
	p.node, p.fd, p.missing, p.denied, p.isAhead, p.unchanged = n, fd, 0, false, false, false
	p.numbers = nil
}

// stillThere tells whether the current cgroup still exists. Missing files alone do
// not show that: the kernel may not have them, or the memory controller may be off.
func (p *pass) stillThere(parent int) bool {
	if parent < 0 {
		fd, errno := p.openPath(p.node)
		if errno == 0 {
			_ = unix.Close(fd)
		}
		return errno != unix.ENOENT && errno != unix.ENOTDIR
	}
	fd, errno := openat(parent, p.node.name, openDirFlags)
	if errno != 0 {
		return errno != unix.ENOENT && errno != unix.ENOTDIR
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Ino == p.node.inode
}

// learnAbsentFiles counts, per optional file, the existing cgroups in a row without it.
func (p *pass) learnAbsentFiles() {
	for f := range numFiles {
		if p.missing&(1<<f) == 0 || !files[f].optional {
			continue
		}
		if p.misses[f]++; p.misses[f] >= absentAfter {
			p.absent |= 1 << f
		}
	}
}

// withoutSwap tells whether the node has no swap at all.
func (h *Hierarchy) withoutSwap() bool {
	if h.proc == nil {
		return false
	}
	swaps, err := h.proc.Swaps()
	return err == nil && len(swaps) == 0
}

// dentriesInUse returns how many dentries of the machine are in use, on v2 only:
// v1 does not tell how much of the kernel memory is reclaimable.
func (h *Hierarchy) dentriesInUse() oom.Amount {
	if h.place.version == 1 {
		return oom.Amount{}
	}
	b, err := os.ReadFile(filepath.Join(h.options.Procfs, "sys/fs/dentry-state"))
	if err != nil {
		return oom.Amount{}
	}
	return parseDentryState(b)
}

// onlineNodes returns the number of NUMA nodes, 1 if it can't be known.
func (h *Hierarchy) onlineNodes() int {
	b, err := os.ReadFile(filepath.Join(h.options.Sysfs, "devices/system/node/online"))
	if err != nil {
		return 1
	}
	nodes, ok := parseNodes(h.nodes[:0], b)
	h.nodes = nodes[:0]
	if !ok {
		return 1
	}
	return len(nodes)
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// scope says which groups the counters of memory.events (v1: memory.oom_control)
// include.
type scope uint8

const (
	// scopeOwn: the group alone. v1, v2 up to 5.1, and v2 with the mount option
	// memory_localevents.
	scopeOwn scope = iota
	// scopeTree: the group and its descendants. v2 since 5.2. Since 5.3 the group's
	// own counts are in memory.events.local; without it they are what remains after
	// subtracting the existing children's, and include kills in removed children.
	scopeTree
	// scopeMaybeTree: v1 from 5.2 to 5.6. 5.2 made v1 count descendants as well,
	// 5.7 and stable updates of 5.4 and 5.6 undid that, and a distribution's
	// release does not tell whether it has the fix. It is treated as scopeTree
	// until children have counted more than their parent, and then as scopeOwn.
	// (So is scopeTree without memory.events.local: the mount option may be hidden.)
	scopeMaybeTree
)

// oddPasses is how many passes must find such children before the scope changes.
// One is not enough: the kernel raises the child's counter a moment before the
// parent's.
const oddPasses = 3

// Hierarchy is a memory hierarchy. It is safe for concurrent use; passes take
// turns. It keeps some groups open between passes: see Options.KeepOpen and storm.
type Hierarchy struct {
	options  Options
	proc     *procfs.FS // nil: Options.Procfs is none.
	place    place
	pageSize int
	noSwap   bool // v1 without swap accounting.
	listed   listed

	mu       sync.Mutex
	scope    scope
	hasLocal bool // v2: there is memory.events.local.
	odd      int  // passes in which children had counted more than their parent.
	root     *node
	pass     uint64
	reads    uint64 // passes other than ReadKills.
	groups   int    // in the last pass, to size the next.
	crowded  bool   // there were more groups than may be read.
	buf      []byte
	pids     []int32
	spare    []oom.Group
	rows     []*node // of the groups of the last full pass.
	nodes    []int   // scratch for NUMA nodes.
	lister   lister
	storm    storm
	open     map[*node]*openGroup
	watcher  *watcher
	watchers uint64 // so far.

	// hook, when a test sets it, is asked before each file is opened.
	hook func(path, name string) unix.Errno
}

// Find looks for the hierarchy that carries the memory controller. Its error
// says where it looked and what to do.
func Find(o Options) (*Hierarchy, error) {
	o = o.withDefaults()
	proc := openProc(o.Procfs)
	p, err := find(o, proc)
	if err != nil {
		return nil, err
	}
	h := &Hierarchy{
		options:  o,
		proc:     proc,
		place:    p,
		pageSize: os.Getpagesize(),
		scope:    scopeOf(p, release(proc)),
		root:     newRoot(),
		buf:      make([]byte, 64<<10),
		lister:   lister{buf: make([]byte, 32<<10)},
	}
	h.noSwap = p.version == 1 && !h.has(v1MemswUsage) && h.has(v1Failcnt)
	return h, nil
}

// openProc opens a proc file system with the library; nil where there is none.
func openProc(root string) *procfs.FS {
	fs, err := procfs.NewFS(root)
	if err != nil {
		return nil
	}
	return &fs
}

// release returns the kernel's release; one that is not known reads as very old.
func release(proc *procfs.FS) oom.Release {
	if proc == nil {
		return oom.Release{}
	}
	words, err := proc.SysctlStrings("kernel.osrelease")
	if err != nil || len(words) == 0 {
		return oom.Release{}
	}
	return oom.ParseRelease(words[0])
}

func scopeOf(p place, r oom.Release) scope {
	switch {
	case !r.AtLeast(5, 2) || p.localEvents:
		return scopeOwn
	case p.version == 2:
		return scopeTree
	case !r.AtLeast(5, 7):
		return scopeMaybeTree
	default:
		return scopeOwn
	}
}

func (h *Hierarchy) has(f file) bool {
	_, err := os.Stat(filepath.Join(h.place.dir, f.String()))
	return err == nil
}

// Version returns 1 or 2.
func (h *Hierarchy) Version() int { return h.place.version }

// Mount returns the directory of the hierarchy's root.
func (h *Hierarchy) Mount() string { return h.place.dir }

// Read reads all groups, parents before children; Groups[0] is the root. Kind
// and Identity are left zero and Owner is the group itself. What vanished
// during the pass is left out and counted; a file that could not be read leaves
// its value unset and counts the group as unreadable.
func (h *Hierarchy) Read() (oom.Tree, oom.Skipped, error) {
	return h.run(false)
}

// ReadKills reads only GroupID, Parent and Events, and of Events only the kills,
// group kills and OOMs are valid. It is meant to be called at each kill: where
// counters include descendants, a subtree in which nothing was killed since the
// last pass is returned as it was then, without reading below its top. A group
// that came or went there shows up at the next Read, or when something is killed
// beside it. The tree is valid until the next ReadKills.
func (h *Hierarchy) ReadKills() (oom.Tree, oom.Skipped, error) {
	return h.run(true)
}

// run does a pass. One that runs out of descriptors gives back those that are only kept
// for speed, and is done once more: others in this process may have opened many since.
func (h *Hierarchy) run(kills bool) (oom.Tree, oom.Skipped, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.storm.begin(kills)
	tree, skipped, err := h.readOnce(kills, true)
	if isExhausted(err) && len(h.open)+len(h.storm.groups) > 0 {
		h.closeKeptOpen(0)
		h.storm.closeAll()
		h.storm.soon = false
		tree, skipped, err = h.readOnce(kills, false)
	}
	if err != nil {
		h.closeKeptOpen(0)
		return oom.Tree{}, oom.Skipped{}, err
	}
	h.groups = len(tree.Groups)
	if h.watcher != nil && !kills {
		h.watcher.sync(h.root.children)
	}
	return tree, skipped, nil
}

// isExhausted tells whether there were no descriptors left.
func isExhausted(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

// readOnce does a pass, and keeps cgroups open for the next scrape if keep is true.
func (h *Hierarchy) readOnce(kills, keep bool) (oom.Tree, oom.Skipped, error) {
	p, err := h.begin(kills)
	if err != nil {
		return oom.Tree{}, oom.Skipped{}, err
	}
	defer p.end()
	p.lists, p.compares = h.listed.begin(time.Now(), kills)
	if kills {
		defer func() { h.storm.end(h.pass, p.tree.Groups) }()
	} else {
		p.rows = h.rows[:0]
	}
	if keep && !kills {
		p.mayOpen = h.mayKeepOpen(p.rootFD)
	}
	if err := p.readAll(); err != nil {
		return oom.Tree{}, oom.Skipped{}, fmt.Errorf("read cgroups at %s: %w", h.place.dir, err)
	}
	if !kills {
		h.rows = p.rows
		p.tree.Source = p.readBy()
		if p.compares {
			h.listed.checked()
		}
		h.closeKeptOpen(p.mayOpen)
	}
	return p.tree, p.skipped, nil
}

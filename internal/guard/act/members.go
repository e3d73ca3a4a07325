// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// maxDepth bounds how deep below a watched group its descendants are read.
const maxDepth = 32

// These say that a group has more processes, or more levels below it, than may be looked
// at.
var (
	errTooMany = errors.New("too many processes to look at")
	errTooDeep = errors.New("too many levels of groups to look at")
)

// Members implements guard.Kernel.
func (k *Kernel) Members(group *oom.Group) (guard.Members, error) {
	m := guard.Members{Dying: map[int32]bool{}}
	m.Tree.Version = k.Version()
	m.Tree.Groups = []oom.Group{{GroupID: oom.GroupID{Path: "/"}, Parent: -1}, *group}
	m.Tree.Groups[1].Parent = 0
	if err := k.members(&m, 1, 0); err != nil {
		return guard.Members{}, err
	}
	if err := k.refine(&m); err != nil {
		return guard.Members{}, err
	}
	return m, nil
}

// refined is how many of a group's processes are read in full: those that the
// kernel may choose. A leak leaves no time to read a thousand.
const refined = 32

// refine reads in full the processes that are largest with oom_score_adj counted
// in, and all of them where memory is swapped out, which the first reading does
// not show.
func (k *Kernel) refine(m *guard.Members) error {
	group := &m.Tree.Groups[1]
	adjUnit := int64(group.Limit.Or(0) / 1000)
	weight := func(p *oom.Process) int64 { return int64(p.RSS) + int64(p.Adj)*adjUnit }
	order := make([]int, len(m.Procs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(weight(&m.Procs[b]), weight(&m.Procs[a])) })
	swapped := group.SwapUsage.Or(group.Stat.Swap.Or(0)) > 0
	gone := map[int]bool{}
	for n, i := range order {
		p := &m.Procs[i]
		if n >= refined && !swapped && p.RSS > 0 {
			p.Exact = true // good enough for one that is not chosen.
			continue
		}
		dying, err := k.process(p)
		if err != nil {
			if err := unlessGone(err); err != nil {
				return err
			}
			gone[i] = true
		}
		m.Dying[p.PID] = dying || m.Dying[p.PID]
	}
	kept := m.Procs[:0]
	for i := range m.Procs {
		if !gone[i] {
			kept = append(kept, m.Procs[i])
		}
	}
	m.Procs = kept
	return nil
}

// owners returns the threads in a v1 group: the memory of a process is charged
// where its first thread is, but the kernel lists it in each group that has one of
// its threads. It is nil on v2, where all threads of a process are in one group.
func (k *Kernel) owners(id oom.GroupID) (map[int32]bool, error) {
	if k.Version() != 1 {
		return nil, nil
	}
	d, err := k.open(id)
	if err != nil {
		return nil, err
	}
	defer d.close()
	b, err := d.read("tasks")
	if err != nil {
		return nil, gone(err)
	}
	owners := map[int32]bool{}
	for _, tid := range parsePIDs(b) {
		owners[tid] = true
	}
	return owners, nil
}

// glance reads the start time, name, size and oom_score_adj of a process.
func (k *Kernel) glance(p *oom.Process) (dying bool, err error) {
	var buf [1024]byte
	dir := k.o.Procfs + "/" + strconv.Itoa(int(p.PID))
	b, err := readSmall(dir+"/stat", buf[:])
	if err != nil {
		return false, err
	}
	s, err := parseStat(b)
	if err != nil {
		return false, err
	}
	if s.state == 'Z' && s.rss == 0 && s.threads <= 1 {
		return false, fs.ErrNotExist
	}
	adj, err := readSmall(dir+"/oom_score_adj", buf[:])
	if err != nil {
		return false, err
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(adj)), 10, 16)
	if err != nil {
		return false, fmt.Errorf("parse oom_score_adj of process %d: %w", p.PID, err)
	}
	p.Adj, p.Start, p.Comm, p.RSS = int16(n), s.start, s.comm, s.rss*uint64(os.Getpagesize())
	return s.dying, nil
}

// readSmall reads a file that fits into the buffer with as few calls as possible:
// with a thousand processes, each counts.
func readSmall(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	n, err := unix.Read(fd, buf)
	_ = unix.Close(fd)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return buf[:n], nil
}

// stat is what is used of /proc/PID/stat.
type stat struct {
	comm         string
	state        byte
	dying        bool // it has a SIGKILL, or is exiting.
	threads      uint64
	start, vsize uint64
	rss          uint64 // in pages.
	parent       int32
}

// parseStat reads "PID (COMM) STATE PPID ...", proc(5). The name may hold
// anything, so it ends at the last parenthesis.
func parseStat(b []byte) (stat, error) {
	const exiting, signaled, sigkill = 0x4, 0x400, 1 << (9 - 1) // flags of include/linux/sched.h.
	begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if begin < 0 || end < begin {
		return stat{}, fmt.Errorf("parse stat: no name in %.40q", b)
	}
	s := stat{comm: string(b[begin+1 : end])}
	var flags, pending, parent uint64
	wanted := [...]*uint64{4: &parent, 9: &flags, 20: &s.threads, 22: &s.start, 23: &s.vsize, 24: &s.rss, 31: &pending}
	at := 3
	for field := range bytes.FieldsSeq(b[end+1:]) {
		if at == 3 {
			s.state = field[0]
		}
		if at == len(wanted) {
			break
		}
		if to := wanted[at]; to != nil {
			n, err := strconv.ParseUint(string(field), 10, 64)
			if err != nil {
				return stat{}, fmt.Errorf("parse stat: field %d: %w", at, err)
			}
			*to = n
		}
		at++
	}
	if at < len(wanted) {
		return stat{}, fmt.Errorf("parse stat: %d fields", at-1)
	}
	s.parent = int32(parent)
	s.dying = flags&(exiting|signaled) != 0 && s.threads <= 1 || pending&sigkill != 0
	return s, nil
}

// members reads the processes of group at, and the groups below it. What has gone in
// between holds nobody; whatever else can't be read may hold a process that must be spared.
func (k *Kernel) members(m *guard.Members, at, depth int) error {
	id := m.Tree.Groups[at].GroupID
	pids, err := k.pids(id)
	if err != nil && at == 1 {
		return err
	}
	var owners map[int32]bool
	if err == nil {
		owners, err = k.owners(id)
	}
	if err != nil {
		return unlessGone(err)
	}
	for _, pid := range pids {
		if owners != nil && !owners[pid] {
			continue // charged where its first thread is.
		}
		if len(m.Procs) >= k.o.MaxProcesses {
			return fmt.Errorf("group %s: %w", m.Tree.Groups[1].Path, errTooMany)
		}
		p := oom.Process{PID: pid, Group: int32(at)}
		dying, err := k.glance(&p)
		if err != nil {
			if err := unlessGone(err); err != nil {
				return err
			}
			continue // gone, or without memory: nothing to kill.
		}
		m.Procs = append(m.Procs, p)
		if dying {
			m.Dying[pid] = true
		}
	}
	return k.descend(m, at, depth)
}

// descend reads the groups below group at.
func (k *Kernel) descend(m *guard.Members, at, depth int) error {
	id := m.Tree.Groups[at].GroupID
	dir := filepath.Join(k.scanned.Mount(), filepath.FromSlash(id.Path))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return unlessGone(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if depth >= maxDepth {
			return fmt.Errorf("group %s: %w", id.Path, errTooDeep)
		}
		child, err := k.child(filepath.Join(dir, e.Name()), strings.TrimSuffix(id.Path, "/")+"/"+e.Name(), at)
		if err != nil {
			if err := unlessGone(err); err != nil {
				return err
			}
			continue
		}
		m.Tree.Groups = append(m.Tree.Groups, child)
		if err := k.members(m, len(m.Tree.Groups)-1, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// unlessGone returns an error, unless it says that something has gone in between.
func unlessGone(err error) error {
	if errors.Is(err, guard.ErrGone) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// child reads what the choice of a victim needs to know of a descendant: which
// group it is, and whether it dies as a whole.
func (k *Kernel) child(dir, path string, parent int) (oom.Group, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return oom.Group{}, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	g := oom.Group{GroupID: oom.GroupID{Path: path, Inode: st.Ino}, Parent: parent, Hierarchical: true}
	if k.Version() == 2 {
		b, err := os.ReadFile(filepath.Join(dir, "memory.oom.group"))
		g.OOMGroup = err == nil && string(bytes.TrimSpace(b)) == "1"
	}
	return g, nil
}

// pids reads the processes in a group, those below it not included.
func (k *Kernel) pids(id oom.GroupID) ([]int32, error) {
	d, err := k.open(id)
	if err != nil {
		return nil, err
	}
	defer d.close()
	b, err := d.read("cgroup.procs")
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP): // a threaded group: its processes are its parent's.
		return nil, nil
	case err != nil:
		return nil, gone(err)
	}
	return parsePIDs(b), nil
}

// parsePIDs reads a cgroup.procs file. Processes of another pid namespace are
// zeros, and left out.
func parsePIDs(b []byte) []int32 {
	var pids []int32
	for word := range bytes.FieldsSeq(b) {
		if n, err := strconv.ParseInt(string(word), 10, 32); err == nil && n > 0 {
			pids = append(pids, int32(n))
		}
	}
	return pids
}

// process fills in a process, and tells whether it has a SIGKILL already. All but
// the latter is about the process whose start time Exact finds, and so is the
// kill: if the pid is used again in between, nobody dies.
func (k *Kernel) process(p *oom.Process) (dying bool, err error) {
	p.Stale = true // or Exact would leave Adj alone.
	if err := k.proc.Exact(p); err != nil {
		return false, err
	}
	b, err := os.ReadFile(filepath.Join(k.o.Procfs, strconv.Itoa(int(p.PID)), "status"))
	if err != nil {
		return false, err
	}
	return parseDying(b), nil
}

// parseDying tells from /proc/PID/status whether a SIGKILL is on its way.
func parseDying(status []byte) bool {
	const sigkill = 1 << (9 - 1)
	for line := range bytes.Lines(status) {
		for _, key := range []string{"SigPnd:", "ShdPnd:"} {
			value, ok := bytes.CutPrefix(line, []byte(key))
			if !ok {
				continue
			}
			mask, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
			if err == nil && mask&sigkill != 0 {
				return true
			}
		}
	}
	return false
}

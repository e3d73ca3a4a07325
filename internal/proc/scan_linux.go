// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// errNoMemory says that a task has no memory: nothing to kill there.
var errNoMemory = errors.New("task without memory")

// scanner holds what Scan reuses between calls.
type scanner struct {
	mu    sync.Mutex
	dir   int  // of the tree.
	raw   bool // it is a proc file system.
	names []byte
	tasks []byte
	path  []byte // of a directory, with a slash at its end.
	whole []byte // of a file in it, with a NUL.
	buf   [512]byte

	refresh uint64 // scans after which a process is read in full again.
	turn    uint64 // number of the scan.
	known   []known
	at      int     // how far this scan has gone through known.
	fresh   []known // known for the next scan.
	idle    []int32 // PIDs, not yet reached, of groups whose usage is unchanged.
}

// Scan reads all processes and returns those that have memory, ordered by PID, in
// the memory of dst. Group is -1. still has the PIDs, in ascending order, of the
// cgroups whose usage is unchanged since the last scan; see Options.Refresh for
// what is read of them and of the others. Skipped counts the processes that
// vanished, that are unreadable and that are over the bound. If an error ends the
// scan, the processes read so far are returned.
func (f *FS) Scan(dst []oom.Process, still []int32) ([]oom.Process, oom.Skipped, error) {
	s := &f.scan
	s.mu.Lock()
	defer s.mu.Unlock()
	defer runtime.KeepAlive(f.root)
	if s.names == nil {
		s.names = make([]byte, 32<<10)
	}
	s.begin(still)
	defer s.end()
	dst = dst[:0]
	var skipped oom.Skipped
	l, err := list(f.dir, []byte(".\x00"), s.names)
	if err != nil {
		return dst, skipped, fmt.Errorf("list %s: %w", f.path, err)
	}
	defer l.close()
	for read, sorted := 0, true; ; {
		name, err := l.next()
		if err != nil {
			return dst, skipped, fmt.Errorf("list %s: %w", f.path, err)
		}
		if name == nil {
			if !sorted { // /proc is in order, a directory of files is not.
				slices.SortFunc(dst, func(a, b oom.Process) int { return cmp.Compare(a.PID, b.PID) })
			}
			return dst, skipped, nil
		}
		pid, ok := parsePID(name)
		if !ok {
			continue
		}
		if read >= f.max {
			skipped.ProcessesOverBound++
			continue
		}
		read++
		p, err := f.scanProcess(pid, name, l.inode)
		switch {
		case err == nil:
			sorted = sorted && (len(dst) == 0 || dst[len(dst)-1].PID < pid)
			dst = append(dst, p)
		case errors.Is(err, errNoMemory):
		case gone(err):
			skipped.VanishedProcesses++
		case exhausted(err):
			return dst, skipped, fmt.Errorf("read process %d in %s: %w", pid, f.path, err)
		default:
			skipped.UnreadableProcesses++
		}
	}
}

// readProcess reads the two small files besides oom_score, in the directory s.path.
// The order matters: as oom_score_adj is read last, a missing score means that
// there is none, not that the process has just gone.
func (f *FS) readProcess(pid int32, score oom.Amount) (oom.Process, error) {
	s := &f.scan
	m, err := s.statm()
	if err != nil {
		return oom.Process{}, err
	}
	if m.size == 0 && m.resident == 0 {
		if score.Or(0) == 0 {
			return oom.Process{}, errNoMemory
		}
		// The first thread has exited and others live on: they are killed too.
		if m, err = s.threadStatm(); err != nil {
			return oom.Process{}, err
		}
	}
	adj, err := s.adj()
	if err != nil {
		return oom.Process{}, err
	}
	rss, fits := times(m.resident, f.pageSize)
	if !fits {
		return oom.Process{}, errDamaged
	}
	return oom.Process{
		PID: pid, Group: -1, Adj: adj, Init: pid == 1 && f.initNS,
		Score: score, RSS: rss, Anon: (m.resident - min(m.shared, m.resident)) * f.pageSize,
	}, nil
}

// file returns the path of a file in the directory s.path; name ends with a
// NUL.
func (s *scanner) file(name string) []byte {
	s.whole = append(append(s.whole[:0], s.path...), name...)
	return s.whole
}

// read reads a small file in the directory s.path.
func (s *scanner) read(name string) ([]byte, error) {
	if s.raw {
		return readSmallRaw(s.dir, s.file(name), s.buf[:])
	}
	return readSmall(s.dir, s.file(name), s.buf[:])
}

// statm reads the statm file in the directory s.path.
func (s *scanner) statm() (statm, error) {
	content, err := s.read("statm\x00")
	if err != nil {
		return statm{}, err
	}
	m, ok := parseStatm(content)
	if !ok {
		return statm{}, errDamaged
	}
	return m, nil
}

// adj reads oom_score_adj.
func (s *scanner) adj() (int16, error) {
	content, err := s.read("oom_score_adj\x00")
	if err != nil {
		return 0, err
	}
	adj, ok := parseAdj(content)
	if !ok {
		return 0, errDamaged
	}
	return adj, nil
}

// score reads oom_score, which may be unset.
func (s *scanner) score() oom.Amount {
	content, err := s.read("oom_score\x00")
	if err != nil {
		return oom.Amount{}
	}
	return parseAmount(content)
}

// threadStatm returns the statm of the first thread that has memory: threads
// of a process share it.
func (s *scanner) threadStatm() (statm, error) {
	if s.tasks == nil {
		s.tasks = make([]byte, 4<<10)
	}
	l, err := list(s.dir, s.file("task\x00"), s.tasks)
	if err != nil {
		return statm{}, err
	}
	defer l.close()
	process := len(s.path)
	defer func() { s.path = s.path[:process] }()
	failed := errNoMemory
	for {
		name, err := l.next()
		if err != nil {
			return statm{}, err
		}
		if name == nil {
			return statm{}, failed
		}
		tid, ok := parsePID(name)
		if !ok {
			continue
		}
		s.path = append(s.path[:process], "task/"...)
		s.path = append(strconv.AppendInt(s.path, int64(tid), 10), '/')
		m, err := s.statm()
		if err == nil && m.size != 0 {
			return m, nil
		}
		if err != nil && !gone(err) {
			failed = err
		}
	}
}

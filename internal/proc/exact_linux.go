// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/kernfs"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// exactReader holds what Exact reuses between calls.
type exactReader struct {
	mu    sync.Mutex
	buf   []byte
	began map[int32]began // by PID.
}

// began is the start time of a process, and the inode of its directory in /proc,
// which is a new one for each process.
type began struct{ inode, start uint64 }

// maxBegan bounds the number of start times that are remembered.
const maxBegan = 4096

// Exact reads the exact sizes that make up the badness, for the few processes that
// may be the next victim. The error wraps fs.ErrNotExist or unix.ESRCH if the
// process is gone; a PID that was reused is recognised by p.Start, if that is set.
// On an error p is left as it was.
func (f *FS) Exact(p *oom.Process) error {
	f.exact.mu.Lock()
	defer f.exact.mu.Unlock()
	defer runtime.KeepAlive(f.root)
	if err := f.readExact(p); err != nil {
		return fmt.Errorf("read process %d in %s: %w", p.PID, f.path, err)
	}
	return nil
}

// Cgroup returns the path of a process' memory cgroup, as seen from our cgroup
// namespace. The error wraps fs.ErrNotExist or unix.ESRCH if the process is gone.
func (f *FS) Cgroup(pid int32) (string, error) {
	p, err := f.lib.Proc(int(pid))
	if err != nil {
		return "", fmt.Errorf("read process %d in %s: %w", pid, f.path, err)
	}
	of, err := p.Cgroups()
	if err != nil {
		return "", fmt.Errorf("read process %d in %s: %w", pid, f.path, err)
	}
	path := memoryCgroup(of)
	if path == "" {
		return "", fmt.Errorf("find the memory cgroup of process %d in %s: %w", pid, f.path, errDamaged)
	}
	return path, nil
}

// memoryCgroup returns the cgroup of the v1 hierarchy with the memory controller
// where there is one, else that of v2.
func memoryCgroup(of []procfs.Cgroup) string {
	if path := kernfs.MemoryCgroup(of, false); path != "" {
		return path
	}
	return kernfs.MemoryCgroup(of, true)
}

// readExact reads the files through the process' directory, which refers to the
// same process even if its PID is reused in between.
func (f *FS) readExact(p *oom.Process) error {
	path := append(strconv.AppendInt(nil, int64(p.PID), 10), 0)
	dir, err := open(f.dir, path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	start, err := f.start(dir, p.PID)
	if err != nil {
		return err
	}
	if (p.Exact || p.Start != 0) && p.Start != start {
		return fmt.Errorf("find the same process: %w", unix.ESRCH)
	}
	content, err := f.exact.read(dir, "status\x00")
	if err != nil {
		return err
	}
	status, err := parseStatus(content)
	if err != nil {
		return err
	}
	comm := status.name
	if !status.rss.IsSet() {
		if status, err = f.exact.threadStatus(dir); err != nil {
			return err
		}
	}
	if p.Stale {
		adj, err := f.exact.read(dir, "oom_score_adj\x00")
		if err != nil {
			return err
		}
		var ok bool
		if p.Adj, ok = parseAdj(adj); !ok {
			return errDamaged
		}
		p.Stale = false
	}
	p.RSS = status.rss.Or(0)
	p.Swap = status.swap.Or(0)
	p.PageTables = status.pte.Plus(oom.Of(status.pmd.Or(0))).Or(0)
	p.Anon = status.anon.Or(p.Anon) // before 4.5 what statm said.
	p.Comm, p.Start = comm, start
	p.Init = p.PID == 1 && f.initNS
	p.Exact = true
	return nil
}

// start returns the start time of the process whose directory is open at dir. It
// never changes and stat is the most expensive of the files, so with
// Options.Refresh it is read once per process.
func (f *FS) start(dir int, pid int32) (uint64, error) {
	e := &f.exact
	var st unix.Stat_t
	remember := f.scan.raw && f.scan.refresh > 1 && unix.Fstat(dir, &st) == nil
	if b, ok := e.began[pid]; ok && remember && b.inode == st.Ino {
		return b.start, nil
	}
	content, err := e.read(dir, "stat\x00")
	if err != nil {
		return 0, err
	}
	stat, err := parseStat(content)
	if err != nil {
		return 0, err
	}
	if remember {
		if e.began == nil || len(e.began) >= maxBegan {
			e.began = map[int32]began{}
		}
		e.began[pid] = began{st.Ino, stat.start}
	}
	return stat.start, nil
}

// read reads a file of the process; name ends with a NUL.
func (e *exactReader) read(dir int, name string) (content []byte, err error) {
	content, e.buf, err = readAll(dir, []byte(name), e.buf)
	return content, err
}

// threadStatus returns the status of a thread that has memory, for a process
// whose first thread has exited. A process without such a thread counts as gone:
// it is a zombie, or about to be one.
func (e *exactReader) threadStatus(dir int) (status, error) {
	l, err := list(dir, []byte("task\x00"), make([]byte, 4<<10))
	if err != nil {
		return status{}, err
	}
	defer l.close()
	for {
		name, err := l.next()
		if err != nil {
			return status{}, err
		}
		if name == nil {
			return status{}, fmt.Errorf("find its memory: %w", unix.ESRCH)
		}
		if _, ok := parsePID(name); !ok {
			continue
		}
		content, err := e.read(dir, "task/"+string(name)+"/status\x00")
		if gone(err) {
			continue
		}
		if err != nil {
			return status{}, err
		}
		s, err := parseStatus(content)
		if err != nil || s.rss.IsSet() {
			return s, err
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// known is what is kept of a process from one scan to the next. The inode of the
// process' directory together with the PID identifies the process.
type known struct {
	inode    uint64
	score    oom.Amount
	pid      int32
	adj      int16
	noMemory bool
	scans    uint8 // number of scans that saw it, up to settled.
}

// settled is the number of scans after which a process need not be read each time:
// runtimes set oom_score_adj shortly after they start it.
const settled = 4

// begin starts a scan with what the last one found.
func (s *scanner) begin(still []int32) {
	s.turn++
	s.idle = still
	s.fresh, s.at = s.fresh[:0], 0
}

func (s *scanner) end() { s.known, s.fresh, s.idle = s.fresh, s.known, nil }

// mayUseCached tells whether nothing of a process needs to be read: the usage of its
// cgroup is unchanged and it is not due.
func (s *scanner) mayUseCached(k *known) bool {
	for len(s.idle) > 0 && s.idle[0] < k.pid {
		s.idle = s.idle[1:]
	}
	at := len(s.idle) > 0 && s.idle[0] == k.pid
	turn := uint64(k.pid) + s.turn
	return at && k.scans >= settled && turn%max(s.refresh/2, 1) != 0 && turn%s.refresh != 0
}

// cached returns what the last scan knew of the process. Scans see PIDs in
// ascending order, so the search goes on where the last one ended.
func (s *scanner) cached(pid int32, inode uint64) *known {
	for s.at < len(s.known) && s.known[s.at].pid < pid {
		s.at++
	}
	if s.at == len(s.known) || s.known[s.at].pid != pid || s.known[s.at].inode != inode {
		return nil
	}
	return &s.known[s.at]
}

// scanProcess reads oom_score of a process, and the rest only if the score changed or the
// process is due.
func (f *FS) scanProcess(pid int32, name []byte, inode uint64) (oom.Process, error) {
	s := &f.scan
	s.path = append(append(s.path[:0], name...), '/')
	if s.refresh <= 1 {
		return f.readProcess(pid, s.score())
	}
	scans := uint8(1)
	k := s.cached(pid, inode)
	if k != nil {
		if s.mayUseCached(k) {
			return f.cachedProcess(k)
		}
		scans = min(k.scans+1, settled)
	}
	score := s.score()
	if k != nil && (uint64(pid)+s.turn)%s.refresh != 0 && k.unchanged(score) {
		k.scans = scans
		return f.cachedProcess(k)
	}
	p, err := f.readNew(pid, score)
	if err == nil || errors.Is(err, errNoMemory) {
		s.fresh = append(s.fresh, known{
			inode: inode, score: score, pid: pid, adj: p.Adj, noMemory: err != nil, scans: scans,
		})
	}
	return p, err
}

// readNew reads a process that the last scan did not know, or that changed. Since 5.9
// a score above 0 says that it has memory and bounds how much, so its RSS is not
// read before it is needed.
func (f *FS) readNew(pid int32, score oom.Amount) (oom.Process, error) {
	if score.Or(0) == 0 {
		return f.readProcess(pid, score)
	}
	adj, err := f.scan.adj()
	if err != nil {
		return oom.Process{}, err
	}
	return oom.Process{PID: pid, Group: -1, Adj: adj, Init: pid == 1 && f.initNS, Score: score, Stale: true}, nil
}

// cachedProcess returns a process as it was in the last scan.
func (f *FS) cachedProcess(k *known) (oom.Process, error) {
	f.scan.fresh = append(f.scan.fresh, *k)
	if k.noMemory {
		return oom.Process{}, errNoMemory
	}
	return oom.Process{
		PID: k.pid, Group: -1, Adj: k.adj, Init: k.pid == 1 && f.initNS, Score: k.score, Stale: true,
	}, nil
}

// unchanged tells whether the score shows that the process is unchanged. A score of 0
// is rounded down and shows that only for processes without memory and for those
// that cannot be killed.
func (k *known) unchanged(score oom.Amount) bool {
	n, ok := score.Get()
	return ok && score == k.score && (n > 0 || k.noMemory || k.adj == -1000)
}

// Refresh reads all that a scan can read of a process, after a scan that left it
// Stale. The error wraps fs.ErrNotExist or unix.ESRCH if the process is gone.
func (f *FS) Refresh(p *oom.Process) error {
	s := &f.scan
	s.mu.Lock()
	defer s.mu.Unlock()
	defer runtime.KeepAlive(f.root)
	s.path = append(strconv.AppendInt(s.path[:0], int64(p.PID), 10), '/')
	now, err := f.readProcess(p.PID, s.score())
	if err != nil {
		return fmt.Errorf("read process %d in %s: %w", p.PID, f.path, err)
	}
	p.Score, p.Adj, p.RSS, p.Anon, p.Stale = now.Score, now.Adj, now.RSS, now.Anon, false
	return nil
}

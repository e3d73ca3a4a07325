// SPDX-License-Identifier: Apache-2.0

package host

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// cacheFor is the number of passes for which exact sizes may be reused.
const cacheFor = 8

// rankTries is how often a ranking by cached sizes is made at most.
const rankTries = 3

// sizes are the cached sizes of a process, from Exact or Refresh, and what the scan
// showed of the process when they were read.
type sizes struct {
	rss   uint64
	score oom.Amount
	adj   int16
	pass  uint64
	exact oom.Process
}

// fillSizes fills in the sizes of one process, from the cache if the scan shows the
// process as it was when they were read. Without the cache, a node with many
// small processes of equal size would need hundreds of reads per scrape to rank
// them.
func (p *pass) fillSizes(i int) error {
	proc := &p.procs[i]
	if proc.Exact {
		return nil
	}
	if e, ok := p.s.h.cache.cachedSizes(proc); ok && (e.Exact || proc.Stale) {
		e.Group = proc.Group
		*proc = e
		p.fromCache[i] = true
		return nil
	}
	if proc.Stale {
		return p.readSkipped(i)
	}
	return p.readSizes(i)
}

// readSkipped reads what the scan skipped of a process.
func (p *pass) readSkipped(i int) error {
	seen := sizesOf(&p.procs[i])
	if err := p.s.h.o.Proc.Refresh(&p.procs[i]); err != nil {
		return p.countVanished(err)
	}
	if now := &p.procs[i]; now.Score == seen.score && now.Adj == seen.adj {
		seen.exact = *now
		p.s.h.cache.keepSizes(seen)
	}
	return nil
}

func sizesOf(proc *oom.Process) sizes {
	return sizes{rss: proc.RSS, score: proc.Score, adj: proc.Adj}
}

// renewSizes makes sure that nothing known of a process is from an earlier pass.
func (p *pass) renewSizes(i int) error {
	switch {
	case p.fromCache[i]:
		return p.readSizes(i)
	case p.procs[i].Stale:
		return p.readSkipped(i)
	}
	return nil
}

// readSizes reads the exact sizes of one process, unless this pass has read them.
func (p *pass) readSizes(i int) error {
	proc := &p.procs[i]
	if proc.Exact && !p.fromCache[i] {
		return nil
	}
	seen := sizesOf(proc)
	keep := !proc.Exact || !p.fromCache[i]
	if err := p.s.h.o.Proc.Exact(proc); err != nil {
		return p.countVanished(err)
	}
	delete(p.fromCache, i)
	if keep && proc.Adj == seen.adj {
		seen.exact = *proc
		p.s.h.cache.keepSizes(seen)
	}
	return nil
}

func (p *pass) countVanished(err error) error {
	if err != nil {
		p.s.skipped.VanishedProcesses++
	}
	return err
}

// confirmRanking reads the exact sizes of the processes that a ranking by cached sizes put
// first. It is false if any differ: the ranking has to be repeated.
func (p *pass) confirmRanking(ranked ...int) bool {
	same := true
	for _, i := range ranked {
		if i < 0 || !p.fromCache[i] {
			continue
		}
		before := p.procs[i]
		if p.readSizes(i) != nil {
			p.s.h.cache.dropSizes(before.PID)
			p.procs[i].Adj = -1000 // out of every ranking.
			delete(p.fromCache, i)
			same = false
			continue
		}
		now := &p.procs[i]
		same = same && before.RSS == now.RSS && before.Swap == now.Swap && before.PageTables == now.PageTables
	}
	return same
}

// rankTop returns the n processes with the highest badness, by their current sizes.
func (p *pass) rankTop(index *predict.Index, n int) []int {
	for try := 1; ; try++ {
		top := index.Top(n, p.fillSizes)
		if p.confirmRanking(top...) || try == rankTries {
			return top
		}
	}
}

// chooseVictim returns the victim of a scope, by current sizes. Within a group
// oom_score_adj weighs differently than in oom_score, which is scaled by the node,
// so an unchanged score proves nothing: all processes of the group are read.
func (p *pass) chooseVictim(index *predict.Index, scope int) predict.Victims {
	if scope != predict.Node {
		for _, i := range index.Members(scope) {
			if p.renewSizes(int(i)) != nil {
				p.procs[i].Adj, p.procs[i].Stale = -1000, false
				delete(p.fromCache, int(i))
			}
		}
	}
	for try := 1; ; try++ {
		v := index.Choose(scope, p.fillSizes)
		if p.confirmRanking(v.Primary, v.RunnerUp) || try == rankTries {
			return v
		}
	}
}

// cachedSizes returns the cached sizes of a process if the scan shows it as it was when
// they were read. Every cacheFor passes, each process in its turn is read again.
func (m *scrapeCache) cachedSizes(p *oom.Process) (oom.Process, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.sizes[p.PID]
	turn := (uint64(p.PID)+m.passes)%cacheFor == 0
	if !ok || turn || m.passes-e.pass > cacheFor || e.score != p.Score || e.adj != p.Adj || !p.Stale && e.rss != p.RSS {
		return oom.Process{}, false
	}
	return e.exact, true
}

func (m *scrapeCache) keepSizes(s sizes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.pass = m.passes
	m.sizes[s.exact.PID] = s
}

func (m *scrapeCache) dropSizes(pid int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sizes, pid)
}

// dropOldSizes drops the sizes that are too old to be used. The caller holds the lock.
func (m *scrapeCache) dropOldSizes() {
	if m.passes%cacheFor != 0 {
		return
	}
	for pid, e := range m.sizes {
		if m.passes-e.pass > cacheFor {
			delete(m.sizes, pid)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package host

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// recallFor is for how many passes exact sizes may be used again.
const recallFor = 8

// recallTries is how often a ranking with recalled sizes is done over.
const recallTries = 3

// sizes are those of a process, exact or as Refresh has them, and what the pass
// that read them saw.
type sizes struct {
	rss   uint64
	score oom.Amount
	adj   int16
	pass  uint64
	exact oom.Process
}

// exact fills in the sizes of one process. On a node where many small
// processes are equal, hundreds may be the top: while what a pass sees of a
// process is the same, so are its sizes taken to be, for some passes.
func (p *pass) exact(i int) error {
	proc := &p.procs[i]
	if proc.Exact {
		return nil
	}
	if e, ok := p.s.h.memory.recall(proc); ok && (e.Exact || proc.Stale) {
		e.Group = proc.Group
		*proc = e
		p.recalled[i] = true
		return nil
	}
	if proc.Stale {
		return p.refresh(i)
	}
	return p.look(i)
}

// refresh reads what the pass left out of a process.
func (p *pass) refresh(i int) error {
	seen := sizesOf(&p.procs[i])
	if err := p.s.h.o.Proc.Refresh(&p.procs[i]); err != nil {
		return p.gone(err)
	}
	if now := &p.procs[i]; now.Score == seen.score && now.Adj == seen.adj {
		seen.exact = *now
		p.s.h.memory.keep(seen)
	}
	return nil
}

func sizesOf(proc *oom.Process) sizes {
	return sizes{rss: proc.RSS, score: proc.Score, adj: proc.Adj}
}

// fresh makes sure that nothing known of a process is of an earlier pass.
func (p *pass) fresh(i int) error {
	switch {
	case p.recalled[i]:
		return p.look(i)
	case p.procs[i].Stale:
		return p.refresh(i)
	}
	return nil
}

// look reads the sizes of one process now, once.
func (p *pass) look(i int) error {
	proc := &p.procs[i]
	if proc.Exact && !p.recalled[i] {
		return nil
	}
	seen := sizesOf(proc)
	keep := !proc.Exact || !p.recalled[i]
	if err := p.s.h.o.Proc.Exact(proc); err != nil {
		return p.gone(err)
	}
	delete(p.recalled, i)
	if keep && proc.Adj == seen.adj {
		seen.exact = *proc
		p.s.h.memory.keep(seen)
	}
	return nil
}

func (p *pass) gone(err error) error {
	if err != nil {
		p.s.skipped.VanishedProcesses++
	}
	return err
}

// confirm looks at those that a ranking with recalled sizes put in front. It is
// false where that shows another order to be possible; rank again then.
func (p *pass) confirm(ranked ...int) bool {
	same := true
	for _, i := range ranked {
		if i < 0 || !p.recalled[i] {
			continue
		}
		before := p.procs[i]
		if p.look(i) != nil {
			p.s.h.memory.forget(before.PID)
			p.procs[i].Adj = -1000 // out of every ranking.
			delete(p.recalled, i)
			same = false
			continue
		}
		now := &p.procs[i]
		same = same && before.RSS == now.RSS && before.Swap == now.Swap && before.PageTables == now.PageTables
	}
	return same
}

// top is the node's n worst, with sizes of now.
func (p *pass) top(index *predict.Index, n int) []int {
	for try := 1; ; try++ {
		top := index.Top(n, p.exact)
		if p.confirm(top...) || try == recallTries {
			return top
		}
	}
}

// choose is the victim of a scope, with sizes of now. In the scope of a group
// an adj weighs differently than in the node's score, so a score that stayed
// proves nothing: all its processes are made fresh.
func (p *pass) choose(index *predict.Index, scope int) predict.Victims {
	if scope != predict.Node {
		for _, i := range index.Members(scope) {
			if p.fresh(int(i)) != nil {
				p.procs[i].Adj, p.procs[i].Stale = -1000, false
				delete(p.recalled, int(i))
			}
		}
	}
	for try := 1; ; try++ {
		v := index.Choose(scope, p.exact)
		if p.confirm(v.Primary, v.RunnerUp) || try == recallTries {
			return v
		}
	}
}

// recall returns the exact sizes of a process that looks as it did when they
// were read; for each process they are read again when it is its turn.
func (m *memory) recall(p *oom.Process) (oom.Process, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.sizes[p.PID]
	turn := (uint64(p.PID)+m.passes)%recallFor == 0
	if !ok || turn || m.passes-e.pass > recallFor || e.score != p.Score || e.adj != p.Adj || !p.Stale && e.rss != p.RSS {
		return oom.Process{}, false
	}
	return e.exact, true
}

func (m *memory) keep(s sizes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.pass = m.passes
	m.sizes[s.exact.PID] = s
}

func (m *memory) forget(pid int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sizes, pid)
}

// sweep forgets the sizes that are too old to be used. It needs the lock.
func (m *memory) sweep() {
	if m.passes%recallFor != 0 {
		return
	}
	for pid, e := range m.sizes {
		if m.passes-e.pass > recallFor {
			delete(m.sizes, pid)
		}
	}
}

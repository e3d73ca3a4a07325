// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/go-kit/log/level"
)

// runner runs one source, never twice at a time: one that hangs costs one
// goroutine, and nobody but the first who asked waits for it.
type runner struct {
	source  source
	rank    int
	given   bool // by a flag: its absence is worth a log message.
	busy    bool
	started time.Time
	done    chan struct{} // closed when the lookup that runs has ended.
	again   chan struct{} // the same for the lookup that is to follow.
	err     error
	told    string // what the log was told about err.
}

// lookup asks all sources, and returns what to wait for: not those for which
// somebody has already waited in vain.
func (n *Namer) lookup(now time.Time) []<-chan struct{} {
	if n.ctx.Err() != nil {
		return nil
	}
	n.due = now.Add(retryAfter(n.attempt))
	n.attempt++
	var waits []<-chan struct{}
	for _, r := range n.runners {
		switch {
		case !r.busy:
			r.busy, r.started, r.done = true, now, make(chan struct{})
			waits = append(waits, r.done)
			go n.run(r)
			continue
		case r.again == nil:
			r.again = make(chan struct{})
		}
		if now.Sub(r.started) < n.options.Wait {
			waits = append(waits, r.again)
		}
		if now.Sub(r.started) > n.options.Timeout {
			n.note(r, context.DeadlineExceeded)
		}
	}
	select {
	case n.poke <- struct{}{}:
	default:
	}
	return waits
}

// running returns what runs already and may still answer in time.
func (n *Namer) running(now time.Time) []<-chan struct{} {
	var waits []<-chan struct{}
	for _, r := range n.runners {
		switch {
		case !r.busy || now.Sub(r.started) >= n.options.Wait:
		case r.again != nil:
			waits = append(waits, r.again)
		default:
			waits = append(waits, r.done)
		}
	}
	return waits
}

// run asks one source, and again as long as somebody wants more.
func (n *Namer) run(r *runner) {
	for again := true; again; {
		n.mu.Lock()
		want := n.wanted(r)
		n.mu.Unlock()

		limited, done := context.WithTimeout(n.ctx, n.options.Timeout)
		names, err := r.source.lookup(limited, want)
		done()

		n.mu.Lock()
		now := n.options.Now()
		for _, f := range names {
			n.cache.learn(r.rank, f, now)
		}
		if n.ctx.Err() == nil {
			n.note(r, err)
		}
		close(r.done)
		r.done, r.again, r.started = r.again, nil, now
		again = r.done != nil
		r.busy = again
		n.mu.Unlock()
	}
}

// wanted lists the containers that this source was not asked about yet, and
// those that still have no name and may get one. kubelet's directories are asked
// for pods without a name, too.
func (n *Namer) wanted(r *runner) []wanted {
	var list []wanted
	bit := uint64(1) << r.rank
	now := n.options.Now()
	for _, e := range n.cache.containers {
		if e.asked&bit != 0 && !n.missing(e, now) {
			continue
		}
		e.asked |= bit
		list = append(list, wanted{ID: e.ID, PodUID: cmp.Or(e.groupPod, e.PodUID), Live: e.tree > 0 && e.tree == n.cache.tree})
	}
	if _, ok := r.source.(*logDirs); !ok {
		return list
	}
	for uid, p := range n.cache.pods {
		if p.rank == noRank {
			list = append(list, wanted{PodUID: uid})
		}
	}
	return list
}

// await waits for lookups until all the containers have names; without any,
// until the lookups end.
func (n *Namer) await(lookups []<-chan struct{}, ids []string) {
	if len(lookups) == 0 {
		return
	}
	timer := time.NewTimer(n.options.Wait)
	defer timer.Stop()
	for _, done := range lookups {
		if len(ids) > 0 && n.allNamed(ids) {
			return
		}
		select {
		case <-done:
		case <-timer.C:
			return
		}
	}
}

func (n *Namer) allNamed(ids []string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		if e := n.cache.containers[id]; e != nil && !e.named() {
			return false
		}
	}
	return true
}

// retryAfter is how long a missing name is given after that many lookups: a log
// file comes some milliseconds after its container, a daemon may be away for
// longer.
func retryAfter(attempt int) time.Duration {
	steps := [...]time.Duration{
		100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
	}
	return steps[min(attempt, len(steps)-1)]
}

// isDue tells whether to look again for names that are missing. For the dead
// that ends at some point; for the living it goes on.
func (n *Namer) isDue(now time.Time) bool {
	if n.due.IsZero() || now.Before(n.due) {
		return false
	}
	for _, e := range n.cache.containers {
		if n.missing(e, now) && (n.cache.alive(e) || n.attempt < 9) {
			return true
		}
	}
	n.due = time.Time{}
	return false
}

// deadFor is how long the names of the dead are looked for. On a host that
// starts containers all the time, each new one makes us ask again, and the
// nameless dead must not be asked about forever.
const deadFor = 2 * time.Minute

// missing tells whether the container has no name and there is hope for one.
func (n *Namer) missing(e *entry, now time.Time) bool {
	return !e.named() && (n.cache.alive(e) || now.Sub(e.born) < deadFor)
}

// Run looks for missing names between the scrapes until ctx ends, after which
// nothing is looked up any more.
func (n *Namer) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			n.cancel()
			return
		case <-n.poke:
		case <-timer.C:
		}
		n.mu.Lock()
		now := n.options.Now()
		if n.isDue(now) {
			n.lookup(now)
		}
		next := time.Hour
		if !n.due.IsZero() {
			next = max(n.due.Sub(now), time.Millisecond)
		}
		n.mu.Unlock()
		timer.Reset(next)
	}
}

// note keeps a source's error and logs it when its kind has changed.
func (n *Namer) note(r *runner, err error) {
	r.err = err
	kind := errorKind(err)
	if kind == r.told {
		return
	}
	before := r.told
	r.told = kind
	logger := level.Warn(n.options.Logger)
	switch {
	case kind == "":
		if before != kindAbsent || r.given {
			_ = level.Info(n.options.Logger).Log("msg", "source of container names works again", "source", r.source.name())
		}
		return
	case r.given:
	case kind == kindAbsent:
		logger = level.Debug(n.options.Logger)
	case kind == kindDenied:
		logger = level.Info(n.options.Logger)
	}
	_ = logger.Log("msg", "source of container names gives none", "source", r.source.name(), "why", kind, "err", err)
}

const (
	kindAbsent = "not there"
	kindDenied = "not permitted"
	kindSlow   = "does not answer in time"
	kindBroken = "failed"
)

// errorKind folds errors to what makes a difference in the log.
func errorKind(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, fs.ErrPermission):
		return kindDenied
	case absent(err):
		return kindAbsent
	case errors.Is(err, context.DeadlineExceeded):
		return kindSlow
	default:
		return kindBroken
	}
}

// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// sharer lets requests share passes. A request waits for a pass that begins
// after it came, so that its numbers are fresh, or joins the running one.
type sharer[T any] struct {
	pace   *pacer
	gather func(deadline time.Time) (data T, release func(), err error)

	mu            sync.Mutex
	running, next *pass[T]
}

// pass is one round of work and what was made of its data.
type pass[T any] struct {
	deadline time.Time // zero: none. It is fixed once the pass runs.
	readers  int       // requests and forms that use it, and the pass until it is done.
	ready    chan struct{}
	data     T
	release  func()
	err      error
	forms    map[string]*form // by key; of a pass that is done.
}

// form is an answer that is made from a pass.
type form struct {
	waiting int           // requests that want it.
	ready   chan struct{} // closed when it is made.
	answer  *answer
	err     error
}

// answer returns what render makes of a pass; requests with the same key share
// it. It returns an error if ctx ends before it is made.
func (s *sharer[T]) answer(ctx context.Context, deadline time.Time, key string, render func(T) *answer) (*answer, error) {
	p := s.join(deadline)
	defer s.leave(p)
	select {
	case <-p.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.err != nil {
		return nil, p.err
	}
	f := s.want(p, key, render)
	select {
	case <-f.ready:
		return f.answer, f.err
	case <-ctx.Done():
		s.unwant(f)
		return nil, ctx.Err()
	}
}

// want returns a form of the pass. The first request for it has it made: the first
// form of a pass at once, others in turn with the passes, so that a client that asks
// for many forms takes no more of a CPU than one that asks for one.
func (s *sharer[T]) want(p *pass[T], key string, render func(T) *answer) *form {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := p.forms[key]
	if f == nil {
		f = &form{ready: make(chan struct{})}
		further := len(p.forms) > 0
		p.forms[key] = f
		p.readers++
		go func() {
			defer s.leave(p)
			if further {
				_ = s.pace.begin(context.Background()) // a context that never ends.
				defer s.pace.end()
			}
			if !s.unwanted(p, key, f) {
				f.make(func() *answer { return render(p.data) })
			}
		}()
	}
	f.waiting++
	return f
}

func (s *sharer[T]) unwant(f *form) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.waiting--
}

// unwanted tells whether all who wanted the form have left, and then forgets it.
func (s *sharer[T]) unwanted(p *pass[T], key string, f *form) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiting > 0 {
		return false
	}
	delete(p.forms, key)
	return true
}

// make turns a panic into an error, as work does.
func (f *form) make(render func() *answer) {
	defer close(f.ready)
	defer func() {
		if r := recover(); r != nil {
			f.err = fmt.Errorf("making the answer panicked: %v", r)
		}
	}()
	f.answer = render()
}

// join returns the running pass if it will not give up before this request
// does, else the next one.
func (s *sharer[T]) join(deadline time.Time) *pass[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.running; p != nil && outlasts(p.deadline, deadline, time.Now()) {
		p.readers++
		return p
	}
	p := s.next
	if p == nil {
		p = &pass[T]{deadline: deadline, readers: 1, ready: make(chan struct{}), forms: map[string]*form{}}
		s.next = p
		go s.run()
	}
	if deadline.IsZero() || !p.deadline.IsZero() && p.deadline.Before(deadline) {
		p.deadline = deadline
	}
	p.readers++
	return p
}

// outlasts tells whether a pass with the deadline has at least nine tenths of
// the time that a request has: scrapes with the same timeout that come at
// nearly the same time share a pass, and one with a shorter timeout does not cut
// others short.
func outlasts(pass, request, now time.Time) bool {
	if pass.IsZero() || request.IsZero() {
		return pass.IsZero()
	}
	return pass.Sub(now) >= request.Sub(now)*9/10
}

// run makes the next pass when its turn comes.
func (s *sharer[T]) run() {
	_ = s.pace.begin(context.Background()) // a context that never ends.
	defer s.pace.end()
	s.mu.Lock()
	p := s.next
	s.next = nil
	if p.readers == 1 { // all have left.
		s.mu.Unlock()
		return
	}
	s.running = p
	s.mu.Unlock()
	s.work(p)
	s.mu.Lock()
	s.running = nil
	s.mu.Unlock()
	close(p.ready)
	s.leave(p)
}

// work turns a panic into an error: those who wait are let go.
func (s *sharer[T]) work(p *pass[T]) {
	defer func() {
		if r := recover(); r != nil {
			p.err = fmt.Errorf("the pass panicked: %v", r)
		}
	}()
	p.data, p.release, p.err = s.gather(p.deadline)
}

// leave says that a request, or the pass itself, is done. The last one releases
// the data.
func (s *sharer[T]) leave(p *pass[T]) {
	s.mu.Lock()
	p.readers--
	last := p.readers == 0
	s.mu.Unlock()
	if last && p.release != nil {
		p.release()
	}
}

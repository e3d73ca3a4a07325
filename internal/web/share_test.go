// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// work is a pass that takes its time, unless its deadline comes first.
type work struct {
	takes    time.Duration
	passes   atomic.Int64
	released atomic.Int64
	panics   bool
}

var errLate = errors.New("the deadline came first")

func (w *work) gather(deadline time.Time) (string, func(), error) {
	n := w.passes.Add(1)
	if w.panics {
		panic("broken")
	}
	takes := w.takes
	if !deadline.IsZero() && time.Until(deadline) < takes {
		<-time.After(time.Until(deadline))
		return "", nil, errLate
	}
	<-time.After(takes)
	return fmt.Sprint("pass ", n), func() { w.released.Add(1) }, nil
}

func newShared(w *work, rest time.Duration) *sharer[string] {
	return &sharer[string]{pace: newPacer(rest), gather: w.gather}
}

// ask asks as a scrape with a timeout does; 0: none.
func ask(s *sharer[string], timeout time.Duration) (string, error) {
	deadline := time.Time{}
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	a, err := s.answer(context.Background(), deadline, "", func(data string) *answer {
		return &answer{status: http.StatusOK, body: []byte(data)}
	})
	if err != nil {
		return "", err
	}
	return string(a.body), nil
}

func TestRequestsShareAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{takes: time.Second}
		s := newShared(w, 100*time.Millisecond)
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				<-time.After(time.Duration(i) * time.Millisecond) // during the pass.
				if got, err := ask(s, 10*time.Second); err != nil || got != "pass 1" {
					t.Errorf("request %d got %q, %v", i, got, err)
				}
			})
		}
		all.Wait()
		if n, m := w.passes.Load(), w.released.Load(); n != 1 || m != 1 {
			t.Errorf("%d passes, %d released, want one", n, m)
		}
	})
}

// One client's deadline decides for nobody else.
func TestAShortDeadlineHurtsNobodyElse(t *testing.T) {
	for _, hostile := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := &work{takes: time.Second}
			s := newShared(w, 100*time.Millisecond)
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					for ctx.Err() == nil {
						_, _ = ask(s, hostile)
					}
				})
			}
			for i := range 60 {
				all.Go(func() {
					<-time.After(time.Duration(i) * 97 * time.Millisecond)
					if _, err := ask(s, 10*time.Second); err != nil {
						t.Errorf("honest request %d: %v", i, err)
					}
				})
			}
			<-time.After(10 * time.Second)
			cancel()
			all.Wait()
		})
	}
}

func TestOutlasts(t *testing.T) {
	now := time.Now()
	at := func(s float64) time.Time { return now.Add(time.Duration(s * float64(time.Second))) }
	for _, c := range []struct {
		pass, request time.Time
		want          bool
	}{
		{time.Time{}, time.Time{}, true},
		{time.Time{}, at(1), true},
		{at(3600), time.Time{}, false},
		{at(10), at(10), true},
		{at(11), at(10), true},
		{at(9.4), at(9.5), true},
		{at(8), at(10), false},
		{at(0.1), at(10), false},
		{at(-1), at(10), false},
	} {
		if got := outlasts(c.pass, c.request, now); got != c.want {
			t.Errorf("a pass for %v, a request for %v: %v", c.pass.Sub(now), c.request.Sub(now), got)
		}
	}
}

// Clients that ask without pause cause no more passes than there is room for.
func TestPassesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{takes: 100 * time.Millisecond}
		s := newShared(w, 300*time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var answers atomic.Int64
		for range 50 {
			all.Go(func() {
				for ctx.Err() == nil {
					if _, err := ask(s, 10*time.Second); err == nil {
						answers.Add(1)
					}
				}
			})
		}
		<-time.After(time.Minute)
		cancel()
		all.Wait()
		if n := w.passes.Load(); n < 140 || n > 152 {
			t.Errorf("%d passes of 100 ms in a minute with rests of 300 ms", n)
		}
		if n := answers.Load(); n < 50*140 {
			t.Errorf("%d answers: some clients starved", n)
		}
	})
}

// A pass that nobody waits for is not made; one whose readers leave is released.
func TestRequestsThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{takes: time.Second}
		s := newShared(w, 10*time.Second)
		if _, err := ask(s, 0); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.answer(ctx, time.Time{}, "", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		<-time.After(time.Minute)
		if n := w.passes.Load(); n != 1 {
			t.Errorf("%d passes, the second for nobody", n)
		}
		during, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := s.answer(during, time.Time{}, "", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		<-time.After(time.Minute)
		if n, m := w.passes.Load(), w.released.Load(); n != 2 || m != 2 {
			t.Errorf("%d passes, %d released", n, m)
		}
	})
}

func TestAPassThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{panics: true}
		s := newShared(w, 0)
		if _, err := ask(s, 0); err == nil || !strings.Contains(err.Error(), "panicked: broken") {
			t.Errorf("error %v", err)
		}
		w.panics = false
		if got, err := ask(s, 0); err != nil || got != "pass 2" {
			t.Errorf("after it: %q, %v", got, err)
		}
	})
}

// An answer is made once a key.
func TestAnswersAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(&work{takes: time.Second}, 0)
		var made atomic.Int64
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				_, err := s.answer(t.Context(), time.Time{}, fmt.Sprint(i%3), func(string) *answer {
					made.Add(1)
					return &answer{}
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := made.Load(); n != 3 {
			t.Errorf("%d answers made for 3 keys", n)
		}
	})
}

func TestTurnsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(10 * time.Second)
		for range 2 {
			if err := p.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := p.begin(short); !errors.Is(err, context.DeadlineExceeded) { // another has the turn.
				t.Errorf("begin = %v", err)
			}
			cancel()
			p.end()
			short, cancel = context.WithTimeout(t.Context(), time.Second)
			if err := p.begin(short); !errors.Is(err, context.DeadlineExceeded) { // the rest is longer.
				t.Errorf("begin = %v", err)
			}
			cancel()
		}
	})
}

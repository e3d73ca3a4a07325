// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oom-exporter/oom_exporter/collector"
	"github.com/oom-exporter/oom_exporter/internal/host"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/page"
)

const (
	// freshFor is the maximum age of what a page shows. A pass over the host that is
	// younger than this is used again, even if it was made for a scrape.
	freshFor = 5 * time.Second
	// watchedFor is how long scrapes go on keeping what they read for the pages after
	// a page was last asked for: without a reader there is nothing to copy.
	watchedFor = time.Minute
)

// looks lets scrapes and pages share passes over the host.
type looks struct {
	host *host.Host

	mu      sync.Mutex // held during a page's pass: whoever asks meanwhile shares it.
	last    atomic.Pointer[page.Look]
	watched atomic.Int64 // when a page was last asked for, in ns since 1970.
}

// Look returns the state of the host, at most freshFor old.
func (l *looks) Look() page.Look {
	l.watched.Store(time.Now().UnixNano())
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.last.Load(); last != nil && time.Since(last.Time) < freshFor {
		return *last
	}
	s := &sharedScrape{Snapshot: l.host.Scrape(time.Time{}), looks: l}
	defer s.Snapshot.Close()
	_, err1 := s.Node()
	_, err2 := s.Groups()
	_, err3 := s.Processes()
	s.look.Err = firstOf(err1, err2, err3)
	s.keep()
	return *l.last.Load()
}

// firstOf joins the errors, leaving out each that has the text of an earlier one: it
// has the same cause.
func firstOf(errs ...error) error {
	var distinct []error
	for _, err := range errs {
		if err != nil && !slices.ContainsFunc(distinct, func(e error) bool { return e.Error() == err.Error() }) {
			distinct = append(distinct, err)
		}
	}
	return errors.Join(distinct...)
}

// Scrape implements collector.Host.
func (l *looks) Scrape(deadline time.Time) collector.Scrape {
	return &sharedScrape{Snapshot: l.host.Scrape(deadline), looks: l}
}

// sharedScrape remembers what a snapshot returned, without asking it for more.
type sharedScrape struct {
	*host.Snapshot
	looks *looks
	look  page.Look
}

func (s *sharedScrape) Node() (*oom.NodeState, error) {
	v, err := s.Snapshot.Node()
	s.look.Node = v
	return v, err
}

func (s *sharedScrape) Groups() (*oom.Groups, error) {
	v, err := s.Snapshot.Groups()
	s.look.Groups = v
	return v, err
}

func (s *sharedScrape) Processes() (*oom.Processes, error) {
	v, err := s.Snapshot.Processes()
	s.look.Processes = v
	return v, err
}

// Close ends the scrape. If it was a whole pass and a page is being watched, it is kept
// for the pages.
func (s *sharedScrape) Close() {
	watched := time.Since(time.Unix(0, s.looks.watched.Load())) < watchedFor
	if watched && s.look.Node != nil && s.look.Groups != nil && s.look.Processes != nil {
		s.keep()
	}
	s.Snapshot.Close()
}

// keep stores what was read for the pages. Rows are copied: the snapshot takes their
// memory back.
func (s *sharedScrape) keep() {
	s.look.Time = time.Now()
	if g := s.look.Groups; g != nil {
		s.look.Groups = &oom.Groups{Containers: copyRows(g.Containers), Pods: copyRows(g.Pods), Slices: copyRows(g.Slices)}
	}
	s.looks.last.Store(&s.look)
}

// copyRows copies rows with their cgroups, without lists of processes.
func copyRows(rows []oom.Row) []oom.Row {
	out, groups := slices.Clone(rows), make([]oom.Group, len(rows))
	for i := range out {
		groups[i] = *out[i].Group
		groups[i].PIDs, groups[i].Mems = nil, nil
		out[i].Group = &groups[i]
	}
	return out
}

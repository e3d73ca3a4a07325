// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gathering is one request's view of the source, joined with the exporter's
// own metrics.
type gathering struct {
	req    Request
	self   prometheus.Gatherer
	gather func(Request) ([]*dto.MetricFamily, func(), error)
}

var _ prometheus.TransactionalGatherer = gathering{}

// Gather implements prometheus.TransactionalGatherer.
func (g gathering) Gather() ([]*dto.MetricFamily, func(), error) {
	mfs, done, err := g.gather(g.req)
	if done == nil {
		done = func() {}
	}
	if g.self == nil || err != nil {
		return mfs, done, err
	}
	own, err := g.self.Gather()
	all := slices.Concat(mfs, own)
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all, done, err
}

// coalescer lets requests that arrive during a pass share it. Unlike
// promhttp's, a pass is only joined while it runs: a client that reads slowly
// neither holds the next pass back nor makes others read its old numbers.
type coalescer struct {
	source Source
	mu     sync.Mutex
	pass   *pass
}

type pass struct {
	ready   chan struct{}
	mfs     []*dto.MetricFamily
	err     error
	release func()
	readers atomic.Int64
}

// Gather joins the running pass, or begins one.
func (c *coalescer) Gather(r Request) ([]*dto.MetricFamily, func(), error) {
	c.mu.Lock()
	p := c.pass
	leads := p == nil
	if leads {
		p = &pass{ready: make(chan struct{})}
		c.pass = p
	}
	p.readers.Add(1)
	c.mu.Unlock()
	if leads {
		c.run(p, r)
	}
	<-p.ready
	return p.mfs, sync.OnceFunc(func() {
		if p.readers.Add(-1) == 0 && p.release != nil {
			p.release()
		}
	}), p.err
}

// run makes the pass; even if it panics, those who wait are let go.
func (c *coalescer) run(p *pass, r Request) {
	defer func() {
		c.mu.Lock()
		c.pass = nil
		c.mu.Unlock()
		close(p.ready)
	}()
	p.mfs, p.release, p.err = c.source.Gather(r)
}

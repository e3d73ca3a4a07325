// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// workers bounds how many groups are dealt with at one time.
	workers = 16
	// slotTime is how long a group may keep others from being dealt with: a worker that
	// takes longer, such as for the end of a frozen container, goes on without a slot.
	slotTime = 50 * time.Millisecond
	// maxStuck bounds the workers that go on without a slot.
	maxStuck = 256
)

// Guard watches the groups of a host. Make one with New.
type Guard struct {
	o       Options
	stats   *stats
	limiter *limiter

	// Used by the loop's goroutine only, except for channels, atomics and wait groups.
	watched  map[uint32]*watched
	byPath   map[string]uint32
	last     uint32 // the last token given.
	observed bool   // the kernel tells when groups come and limits change.
	tops     map[string]*top
	unarmed  int           // watched groups for which the kernel sends no notice.
	changed  bool          // all watched groups are to be visited.
	next     time.Time     // when the next watched group is due.
	tick     time.Time     // when the tops are to be read next.
	ticked   time.Time     // when they were read last.
	ticks    time.Duration // between two readings of the tops.
	slots    chan struct{}
	stuck    atomic.Int32 // workers that have taken longer than slotTime.
	running  sync.WaitGroup
	ready    atomic.Bool // a look has been rehearsed.
	cpus     atomic.Int32
	results  chan result
	probes   int // running now.
	probed   chan probed
	rescan   chan struct{}
	ending   chan struct{} // closed when Run ends.
	// throttled waits until the memory.high of every throttled group is put back.
	throttled sync.WaitGroup

	mu         sync.Mutex
	every      time.Duration // between two scans.
	node       oom.Node
	containers map[string]Target // of the last scan, limited or not.
	tree       *oom.Tree         // of a scan that the loop has not taken yet.
	slowest    time.Duration     // the slowest of the last reclaims.
}

// result is what a worker gives back to the loop.
type result struct {
	token  uint32
	action Action
}

// New returns a Guard.
func New(o Options) (*Guard, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Guard{
		o: o, stats: newStats(), limiter: newLimiter(o.KillsPerMinute, o.KillsPerTenant, o.CoolDown, o.Now()),
		watched: map[uint32]*watched{}, byPath: map[string]uint32{}, tops: map[string]*top{},
		slots: make(chan struct{}, workers), results: make(chan result, 4*workers), probed: make(chan probed, maxProbes), rescan: make(chan struct{}, 1), ending: make(chan struct{}),
		observed: true, every: o.ScanInterval, slowest: fastReclaim,
	}, nil
}

// Stats returns what was done so far.
func (g *Guard) Stats() Stats { return g.stats.snapshot() }

// Run watches until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	if err := g.Scan(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, g.o.Bell.Wake)
	defer stop()
	var scanner sync.WaitGroup
	scanner.Go(func() { g.scans(ctx) })
	for ctx.Err() == nil {
		wait := g.step(ctx)
		g.hear(g.o.Bell.Wait(wait))
	}
	scanner.Wait()
	close(g.ending)
	g.throttled.Wait()
	go func() {
		g.running.Wait()
		close(g.results)
	}()
	for r := range g.results {
		g.finish(r)
	}
	for token := range g.watched {
		g.drop(token)
	}
	return nil
}

// A busy node has new groups all the time: between two scans there is a pause of
// scanPause at least and, up to scanPauseMax, of scanShare times what the last scan took,
// so that scans take about a hundredth of a CPU.
const (
	scanPause    = time.Second
	scanPauseMax = 10 * time.Second
	scanShare    = 100
)

// scans reads the hierarchy now and then, away from the loop: a pass takes too long for
// the loop to wait for it.
func (g *Guard) scans(ctx context.Context) {
	every := time.NewTimer(g.interval())
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.rescan:
		case <-every.C:
		}
		begun := g.o.Now()
		if err := g.Scan(); err != nil {
			_ = level.Warn(g.o.Logger).Log("msg", "scan failed; the groups known so far stay watched", "err", err)
		}
		g.o.Bell.Wake()
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(max(scanPause, scanShare*g.o.Now().Sub(begun)), scanPauseMax)):
		}
		every.Reset(g.interval())
	}
}

// interval is the time to the next scan if nobody asks for one before. It is short while
// the names of a pod's containers are missing.
func (g *Guard) interval() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.containers {
		if c.StandIn && c.PodUID != "" {
			return min(g.every, 2*time.Second)
		}
	}
	return g.every
}

// Scan makes one pass over all groups.
func (g *Guard) Scan() error {
	node, tree, err := g.o.Kernel.Scan()
	g.stats.update(func(s *Stats) {
		s.Scans++
		if err != nil {
			s.ScanFailures++
		}
	})
	if err != nil {
		return fmt.Errorf("scan groups: %w", err)
	}
	belong(&tree)
	containers := containersOf(&tree)
	g.cpus.Store(int32(node.CPUs))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.node, g.tree, g.containers = node, &tree, containers
	return nil
}

// margin is the margin below limits on this node.
func (g *Guard) margin() Margin {
	m := g.o.Margin
	m.CPUs = int(g.cpus.Load())
	return m
}

// wantScan asks for a scan.
func (g *Guard) wantScan() {
	select {
	case g.rescan <- struct{}{}:
	default: // one is asked for already.
	}
}

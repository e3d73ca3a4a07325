// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oom-exporter/oom_exporter/collector"
	"github.com/oom-exporter/oom_exporter/internal/host"
	"github.com/oom-exporter/oom_exporter/internal/ledger"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// churn is a node on which containers live for seconds, each until the kernel
// kills in it.
type churn struct {
	mu     sync.Mutex
	logs   string // kubelet's /var/log/containers.
	slots  []slot
	born   uint64
	killed uint64
}

// slot is a place that always has a container.
type slot struct {
	kind      churnKind
	path      string
	inode     uint64
	kills     uint64
	pod, file string
}

type churnKind int

const (
	looping  churnKind = iota // one pod, whose container is replaced.
	jobs                      // pods of new names, of one container each.
	nameless                  // containers that no source ever names.
	building                  // BuildKit's steps.
	churnKinds
)

// newChurn makes four slots of each kind.
func newChurn(t *testing.T) *churn {
	c := &churn{logs: t.TempDir()}
	for kind := range churnKinds {
		for n := range 4 {
			c.slots = append(c.slots, slot{kind: kind, pod: fmt.Sprintf("loop-%d", n)})
		}
	}
	for i := range c.slots {
		c.replace(t, &c.slots[i])
	}
	return c
}

// replace puts a new container into the slot.
func (c *churn) replace(t *testing.T, s *slot) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.file != "" {
		if err := os.Remove(s.file); err != nil {
			t.Fatal(err)
		}
	}
	c.born++
	s.inode, s.kills = 1000+c.born, 0
	id := fmt.Sprintf("%016x%048x", c.born*0x9e3779b97f4a7c15, c.born)
	uid := fmt.Sprintf("00000000-0000-4000-8000-%012x", c.born)
	switch s.kind {
	case looping:
		uid = "10000000-0000-4000-8000-00000000000" + s.pod[len("loop-"):]
	case jobs:
		s.pod = fmt.Sprintf("job-%d", c.born)
	case nameless:
		s.path = "/docker/" + id
		return
	case building:
		s.path = fmt.Sprintf("/docker/buildkit/k%024x", c.born)
		return
	}
	s.path = "/kubepods/burstable/pod" + uid + "/" + id
	s.file = filepath.Join(c.logs, s.pod+"_batch_app-"+id+".log")
	if err := os.WriteFile(s.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *churn) kill(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.kills++
	c.killed++
}

// Read implements host.Hierarchy.
func (c *churn) Read() (oom.Tree, oom.Skipped, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tree := oom.Tree{Version: 1}
	at := map[string]int{}
	var add func(path string, inode uint64) int
	add = func(path string, inode uint64) int {
		if i, ok := at[path]; ok {
			return i
		}
		parent := -1
		if path != "/" {
			parent = add(filepath.Dir(path), uint64(len(at))+1)
		}
		i := len(tree.Groups)
		at[path] = i
		tree.Groups = append(tree.Groups, oom.Group{
			GroupID: oom.GroupID{Path: path, Inode: inode}, Parent: parent, Owner: i, Hierarchical: true,
			Usage: oom.Of(8 << 20), Limit: oom.Of(64 << 20), Events: oom.Events{OwnKills: oom.Of(0), Max: oom.Of(0)},
		})
		return i
	}
	add("/", 1)
	for _, s := range c.slots {
		tree.Groups[add(s.path, s.inode)].Events.OwnKills = oom.Of(s.kills)
	}
	return tree, oom.Skipped{}, nil
}

func (c *churn) ReadPIDs(*oom.Tree) {}
func (c *churn) Recycle(oom.Tree)   {}

// What the ledger reads of it.
type churnCounters struct {
	*churn
	namer *workload.Namer
}

func (c churnCounters) Vmstat() (oom.Amount, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return oom.Of(c.killed), nil
}

func (c churnCounters) Groups() (oom.Tree, error) {
	tree, _, err := c.Read()
	workload.Classify(&tree)
	c.namer.NameKnown(&tree)
	return tree, err
}

func (churnCounters) Kills(oom.GroupID) (kills oom.Amount) { return kills }

func (churnCounters) Limit(oom.GroupID) (limit, hits oom.Amount) { return limit, hits }

func (churnCounters) Populated(oom.GroupID) bool { return false }

// What the host reads of the node: no processes.
type churnProc struct{}

func (churnProc) Node() (oom.Node, error) {
	return oom.Node{PageSize: 4096, Total: oom.Of(1 << 34), Free: oom.Of(1 << 33), Available: oom.Of(1 << 33)}, nil
}

func (churnProc) Scan([]oom.Process, []int32) ([]oom.Process, oom.Skipped, error) {
	return nil, oom.Skipped{}, nil
}
func (churnProc) Cgroup(int32) (string, error) { return "", os.ErrNotExist }

func (churnProc) Refresh(*oom.Process) error { return nil }
func (churnProc) Exact(*oom.Process) error   { return nil }

// totals adapts the ledger to the collector.
type totals struct{ *ledger.Ledger }

func (t totals) KillTotals() oom.KillTotals {
	t.Sync()
	return t.View().KillTotals
}

// TestSeriesChurn replaces sixteen containers every four seconds for an hour.
// The series stay bounded, and every kill is in one of them.
func TestSeriesChurn(t *testing.T) {
	t.Parallel()
	const keep = 40
	synctest.Test(t, func(t *testing.T) {
		node := newChurn(t)
		namer := workload.NewNamer(workload.Options{LogDirs: []string{node.logs}, MaxNames: 200, TTL: time.Minute})
		book, err := ledger.New(ledger.Options{Counters: churnCounters{node, namer}, Names: ledgerNames{namer}, KeepDead: keep})
		if err != nil {
			t.Fatal(err)
		}
		set := collector.New(
			&looks{host: host.New(host.Options{Proc: churnProc{}, Hierarchy: node, Names: names{namer}})},
			collector.Options{Kills: totals{book}},
		)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- book.Run(ctx) }()
		go namer.Run(ctx)
		rest := func(d time.Duration) { <-time.After(d) }
		rest(5 * time.Second)
		most := 0
		for i := range 900 {
			for s := range node.slots {
				node.kill(&node.slots[s])
			}
			rest(2 * time.Second)
			for s := range node.slots {
				node.replace(t, &node.slots[s])
			}
			rest(2 * time.Second)
			if i%15 == 0 {
				most = max(most, countSeries(t, set))
			}
		}
		rest(15 * time.Second)
		t.Logf("%d series at most", most)
		// The fixed ones, 16 of a living container, three of a dead one.
		if bound := 150 + len(node.slots)*16 + keep*3; most > bound {
			t.Errorf("%d series at most, want no more than %d", most, bound)
		}
		v := book.View()
		sum, byName := v.Unattributed+v.Evicted, map[string]uint64{}
		for _, w := range v.Workloads {
			sum += w.Kills
			byName[w.Workload.Pod+"/"+w.Workload.Container] = w.Kills
		}
		if sum != node.killed || v.Evicted == 0 || v.Pending != 0 {
			t.Errorf("%d kills: %d in workloads, evicted (%d) and unattributed (%d); %d pending", node.killed, sum, v.Evicted, v.Unattributed, v.Pending)
		}
		for _, name := range []string{"loop-0/app", "loop-1/app", "loop-2/app", "loop-3/app"} {
			if byName[name] != 900 {
				t.Errorf("%s has %d kills, want 900", name, byName[name])
			}
		}
		if got := byName["//docker/buildkit/*"]; got != 3600 {
			t.Errorf("the steps of builds have %d kills, want 3600", got)
		}
		cancel()
		<-ended
		synctest.Wait()
	})
}

func countSeries(t *testing.T, set *collector.Set) (n int) {
	t.Helper()
	families, done, err := set.Gather(collector.Request{})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// BenchmarkStorm is 200 kills in 2 s among 1,000 groups, without the cost of
// reading the groups.
func BenchmarkStorm(b *testing.B) {
	for range b.N {
		b.StopTimer()
		k := newKernel(1, 1)
		k.limiter = true
		k.cluster(100, 10)
		if err := k.start(Options{}); err != nil {
			b.Fatal(err)
		}
		k.ledger.SetLog(oom.LogLive)
		all := k.containers()
		still := &frozen{kernel: k}
		k.ledger.o.Counters = still
		still.freeze()
		k.ledger.tick()
		b.StartTimer()
		for i := range 200 {
			k.kill(all[i*5], all[i*5])
			k.deliver(1)
			k.now = k.now.Add(10 * time.Millisecond)
			if i%10 == 9 {
				b.StopTimer()
				still.freeze()
				b.StartTimer()
			}
			k.ledger.tick()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/200, "µs/kill")
}

// frozen has its groups read beforehand.
type frozen struct {
	*kernel
	tree oom.Tree
}

func (f *frozen) freeze() { f.tree, _ = f.kernel.Groups() }

func (f *frozen) Groups() (oom.Tree, error) { return f.tree, nil }

// BenchmarkSyncAtRest is what a scrape costs when nothing has happened, with
// 20,000 workloads in the books.
func BenchmarkSyncAtRest(b *testing.B) {
	k := full20k(b)
	b.ReportAllocs()
	for b.Loop() {
		k.ledger.Sync()
		k.ledger.View()
	}
}

// BenchmarkView is what it costs after a kill.
func BenchmarkView(b *testing.B) {
	k := full20k(b)
	b.ReportAllocs()
	for b.Loop() {
		k.ledger.Lost(0)
		k.ledger.View()
	}
}

// BenchmarkSave is what saving costs besides the disk.
func BenchmarkSave(b *testing.B) {
	k := full20k(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.ledger.snapshot().bytes(); err != nil {
			b.Fatal(err)
		}
	}
}

func full20k(b *testing.B) *kernel {
	k := newKernel(1, 1)
	if err := k.start(Options{KeepDead: 20_000}); err != nil {
		b.Fatal(err)
	}
	k.ledger.SetLog(oom.LogLive)
	k.ledger.tick()
	for i := range 20_000 {
		k.ledger.totals.workloads[oom.Workload{Namespace: "ns", Pod: fmt.Sprint("pod-", i), Container: "c"}] = &total{
			Kills: 1, OOMs: 1, Last: k.now, Seen: k.now,
		}
	}
	return k
}

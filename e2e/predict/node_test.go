// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// TestNodeMargin holds the node's kill margin against the kernel's own numbers: it
// is more than MemAvailable, which takes off high watermarks and half of the cache,
// and no more than all that is free or can be freed. This is so on machines whose
// zones do not show all memory, too.
func TestNodeMargin(t *testing.T) {
	b := newBench(t)
	e := lab.StartExporter(t, "--web.min-interval=0s")
	node, err := b.procs.Node()
	if err != nil {
		t.Fatal(err)
	}
	margin := e.Scrape(t).Value(t, "oom_node_kill_margin_bytes")
	after, err := b.procs.Node()
	if err != nil {
		t.Fatal(err)
	}
	var managed uint64
	for i := range node.Zones {
		managed += node.Zones[i].Managed.Or(0)
	}
	total := float64(node.Total.Or(0))
	t.Logf("the zones show %.0f %% of MemTotal", 100*float64(managed)/total)
	slack := 0.01 * total // others on the machine take and give memory meanwhile.
	least := float64(min(node.Available.Or(0), after.Available.Or(0))) - slack
	most := float64(max(freeable(&node), freeable(&after))) + slack
	if margin < least || margin > most {
		t.Errorf("the kill margin is %.0f MiB, want %.0f to %.0f", margin/mib, least/mib, most/mib)
	}
}

// freeable is all memory that is free or may become so.
func freeable(n *oom.Node) uint64 {
	return n.Free.Or(0) + n.ActiveFile.Or(0) + n.InactiveFile.Or(0) + n.KReclaimable.Or(n.SReclaimable.Or(0)) + n.SwapFree.Or(0)
}

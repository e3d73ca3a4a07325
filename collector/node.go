// SPDX-License-Identifier: Apache-2.0

package collector

import "github.com/oom-exporter/oom_exporter/internal/oom"

type nodeCollector struct{ *Set }

func (c nodeCollector) update(s Scrape, out *sink) error {
	n, err := s.Node()
	if err != nil {
		return err
	}
	c.table.node.emit(out, n)
	c.table.clock.emitCopy(out, c.o.Now())
	if !c.table.unkillable.wanted() {
		return nil
	}
	ps, err := s.Processes()
	if err != nil {
		return err
	}
	c.table.unkillable.emit(out, ps)
	return nil
}

// evictionMargin is how far the node is from kubelet's eviction; negative while
// it evicts.
func evictionMargin(n *oom.NodeState) (float64, bool) {
	available, ok := n.EvictionAvailable.Get()
	threshold, ok2 := n.EvictionThreshold.Get()
	return float64(available) - float64(threshold), ok && ok2
}

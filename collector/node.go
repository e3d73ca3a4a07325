// SPDX-License-Identifier: Apache-2.0

package collector

type nodeCollector struct{ *Set }

func (c nodeCollector) update(s Scrape, out *sink) error {
	n, err := s.Node()
	if err != nil {
		return err
	}
	out.amount(nodeCapacity, n.Total, nil)
	out.amount(nodeAvailable, n.Available, nil)
	out.add(nodeTime, seconds(c.o.Now()), nil)
	out.amount(nodePanic, n.PanicOnOOM, nil)
	out.amount(nodeAllocating, n.KillAllocatingTask, nil)
	out.amount(nodeOvercommit, n.Overcommit, nil)
	if n.Margin.Known {
		out.add(nodeMargin, float64(n.Margin.Bytes), nil)
		out.add(nodeMarginRatio, n.Margin.Ratio, nil)
	}
	out.amount(nodeEvictionThreshold, n.EvictionThreshold, nil)
	if available, ok := n.EvictionAvailable.Get(); ok {
		if threshold, ok := n.EvictionThreshold.Get(); ok {
			out.add(nodeEvictionMargin, float64(available)-float64(threshold), nil)
		}
	}
	if !c.enabled[nodeUnkillable] {
		return nil
	}
	ps, err := s.Processes()
	if err != nil {
		return err
	}
	out.amount(nodeUnkillable, ps.Unkillable, nil)
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package collector

type podCollector struct{ *Set }

func (c podCollector) update(s Scrape, out *sink) error {
	groups, err := s.Groups()
	if err != nil {
		return err
	}
	for i := range groups.Pods {
		if r := &groups.Pods[i]; c.o.Keep.keepsPod(r.Workload) {
			c.table.pods.emit(out, r)
		}
	}
	return nil
}

type sliceCollector struct{ *Set }

func (c sliceCollector) update(s Scrape, out *sink) error {
	groups, err := s.Groups()
	if err != nil {
		return err
	}
	for i := range groups.Slices {
		c.table.slices.emit(out, &groups.Slices[i])
	}
	return nil
}

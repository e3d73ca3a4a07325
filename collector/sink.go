// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// sink collects the samples of one scrape. It keeps its families, samples and
// label pairs from scrape to scrape: at 30,000 series, allocating them again
// costs more than reading the kernel's files.
type sink struct {
	columns []column // by the families' ids.
	labels  *labelCache
	scrape  uint64                         // number of the scrape, unique in its Set.
	created [epochs]*timestamppb.Timestamp // nil: unknown.

	most, series int    // bound and number of series whose labels are open-ended.
	refused      uint64 // series over the bound.
}

// column is a family with its samples, whose memory is used again scrape after
// scrape.
type column struct {
	*dto.MetricFamily
	blocks  [][]sample // the memory of its samples.
	used    int        // how many of the blocks this scrape has begun to use.
	free    []sample   // what is left of the last of these.
	open    bool       // its labels are open-ended.
	kills   bool       // its collector is that of kills.
	counter bool
	since   epoch
}

// sample is one metric with the values it points to.
type sample struct {
	metric dto.Metric
	value  float64
}

func newSink(table []family, l *labelCache, scrape uint64, most int) *sink {
	s := &sink{columns: make([]column, len(table)), labels: l, scrape: scrape, most: most}
	for i := range table {
		f := &table[i]
		s.columns[i] = column{
			MetricFamily: &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: &f.typ},
			open:         f.labels.isOpen(), kills: f.collector == "event", counter: f.typ == counter, since: f.since,
		}
	}
	return s
}

// reset forgets the samples and keeps their memory.
func (s *sink) reset(scrape uint64) {
	s.scrape, s.series, s.refused = scrape, 0, 0
	for i := range s.columns {
		c := &s.columns[i]
		c.Metric, c.used, c.free = c.Metric[:0], 0, nil
	}
}

// gather returns the families that have samples, ordered by name as the
// exposition formats want it.
func (s *sink) gather(dst []*dto.MetricFamily) []*dto.MetricFamily {
	for i := range s.columns {
		if c := &s.columns[i]; len(c.Metric) > 0 {
			dst = append(dst, c.MetricFamily)
		}
	}
	slices.SortFunc(dst, func(a, b *dto.MetricFamily) int {
		switch {
		case a.GetName() < b.GetName():
			return -1
		case a.GetName() > b.GetName():
			return 1
		}
		return 0
	})
	return dst
}

// add appends a sample. Two samples with equal labels would fail the whole
// scrape, so the second one joins the first: a counter adds, a gauge replaces.
func (s *sink) add(i id, value float64, pairs *labels) {
	c := &s.columns[i]
	if pairs.taken(i, s.scrape) {
		c.join(value, pairs)
		return
	}
	if c.open && !s.room(c) {
		return
	}
	if len(c.free) == 0 {
		c.nextBlock()
	}
	m := &c.free[0]
	c.free = c.free[1:]
	c.Metric = append(c.Metric, &m.metric)
	m.value, m.metric.Label = value, pairs.list()
	if c.since != epochUnknown {
		m.metric.Counter.CreatedTimestamp = s.created[c.since]
	}
}

// countsSince says when counters of this kind began; zero: that is not known.
func (s *sink) countsSince(e epoch, t time.Time) {
	switch {
	case t.IsZero():
		s.created[e] = nil
	case s.created[e] == nil || !s.created[e].AsTime().Equal(t):
		s.created[e] = timestamppb.New(t)
	}
}

// room tells whether the family may have another series. A fifth of the bound is
// reserved for kills, which are added last.
func (s *sink) room(c *column) bool {
	most := s.most
	if !c.kills {
		most -= most / 5
	}
	if s.most > 0 && s.series >= most {
		s.refused++
		return false
	}
	s.series++
	return true
}

// join merges a value into the sample that already has these labels.
func (c *column) join(value float64, pairs *labels) {
	for _, m := range slices.Backward(c.Metric) {
		if !slices.Equal(m.Label, pairs.list()) {
			continue
		}
		if c.counter {
			*m.Counter.Value += value
		} else {
			*m.Gauge.Value = value
		}
		return
	}
}

// nextBlock goes on to the next block of samples, and makes it if need be. They
// are large, so that a scrape allocates rarely.
func (c *column) nextBlock() {
	if c.used == len(c.blocks) {
		c.blocks = append(c.blocks, newBlock(max(8, min(len(c.Metric)/4, 128)), c.counter))
	}
	c.free = c.blocks[c.used]
	c.used++
}

func newBlock(n int, ofCounters bool) []sample {
	block := make([]sample, n)
	if ofCounters {
		counters := make([]dto.Counter, n)
		for k := range block {
			counters[k].Value = &block[k].value
			block[k].metric.Counter = &counters[k]
		}
		return block
	}
	gauges := make([]dto.Gauge, n)
	for k := range block {
		gauges[k].Value = &block[k].value
		block[k].metric.Gauge = &gauges[k]
	}
	return block
}

// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// sink collects the samples of one scrape. It keeps its families, samples and
// label pairs from scrape to scrape: at 30,000 series, building them anew
// costs more than reading the kernel's files.
type sink struct {
	out     [families]*dto.MetricFamily
	filled  [families]int // samples behind the end of a family's slice, to be used again.
	enabled *[families]bool
	scrape  uint64 // number of the scrape, unique in its Set.
	table   *[families]family
	created [epochs]*timestamppb.Timestamp // nil: unknown.

	most, series int    // series that others can make more of: as many as there may be, and are.
	refused      uint64 // of them.
}

// sample is one metric with the values it points to.
type sample struct {
	metric dto.Metric
	value  float64
}

func newSink(t *[families]family, enabled *[families]bool, scrape uint64, most int) *sink {
	s := &sink{enabled: enabled, scrape: scrape, table: t, most: most}
	for i := range t {
		s.out[i] = &dto.MetricFamily{Name: &t[i].name, Help: &t[i].help, Type: &t[i].typ}
	}
	return s
}

// reset forgets the samples and keeps their memory.
func (s *sink) reset(scrape uint64) {
	s.scrape, s.series, s.refused = scrape, 0, 0
	for _, f := range s.out {
		f.Metric = f.Metric[:0]
	}
}

// gather returns the families that have samples, ordered by name as the
// exposition formats want it.
func (s *sink) gather(dst []*dto.MetricFamily) []*dto.MetricFamily {
	for _, f := range s.out {
		if len(f.Metric) > 0 {
			dst = append(dst, f)
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
	if !s.enabled[i] {
		return
	}
	f := s.out[i]
	if pairs.taken(i, s.scrape) {
		s.join(i, value, pairs)
		return
	}
	if s.table[i].labels.isOpen() && !s.room(i) {
		return
	}
	n := len(f.Metric)
	if n == s.filled[i] {
		s.grow(i)
	}
	f.Metric = f.Metric[:n+1]
	m := f.Metric[n]
	*number(m) = value
	m.Label = pairs.list()
	if m.Counter != nil {
		m.Counter.CreatedTimestamp = s.created[s.table[i].since]
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

// room tells whether the family may have one series more. A fifth is left for
// kills, which are added last.
func (s *sink) room(i id) bool {
	most := s.most
	if s.table[i].collector != "event" {
		most -= most / 5
	}
	if s.most > 0 && s.series >= most {
		s.refused++
		return false
	}
	s.series++
	return true
}

// number is where a sample has its value.
func number(m *dto.Metric) *float64 {
	if m.Counter != nil {
		return m.Counter.Value
	}
	return m.Gauge.Value
}

// join finds the sample that has these labels already.
func (s *sink) join(i id, value float64, pairs *labels) {
	for _, m := range slices.Backward(s.out[i].Metric) {
		if !slices.Equal(m.Label, pairs.list()) {
			continue
		}
		if s.out[i].GetType() == counter {
			value += *number(m)
		}
		*number(m) = value
		return
	}
}

// grow adds samples in blocks, so that a scrape allocates rarely.
func (s *sink) grow(i id) {
	f, have := s.out[i], s.filled[i]
	n := max(8, min(have/4, 128))
	block := make([]sample, n)
	if f.GetType() == counter {
		counters := make([]dto.Counter, n)
		for k := range block {
			counters[k].Value = &block[k].value
			block[k].metric.Counter = &counters[k]
		}
	} else {
		gauges := make([]dto.Gauge, n)
		for k := range block {
			gauges[k].Value = &block[k].value
			block[k].metric.Gauge = &gauges[k]
		}
	}
	used := len(f.Metric)
	f.Metric = slices.Grow(f.Metric[:have], n)
	for k := range block {
		f.Metric = append(f.Metric, &block[k].metric)
	}
	f.Metric, s.filled[i] = f.Metric[:used], have+n
}

// amount adds a sample where the kernel gave a value, and none where it is
// unset or unlimited.
func (s *sink) amount(i id, a oom.Amount, pairs *labels) {
	if v, ok := a.Get(); ok {
		s.add(i, float64(v), pairs)
	}
}

// micros adds a time in microseconds as seconds.
func (s *sink) micros(i id, a oom.Amount, pairs *labels) {
	if v, ok := a.Get(); ok {
		s.add(i, float64(v)/1e6, pairs)
	}
}

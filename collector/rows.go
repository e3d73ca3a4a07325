// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// rows are one kind of row of the model, a container or a process, say: their
// labels, and the families that are on and take a value from each of them.
type rows[R any] struct {
	table     *table
	collector string
	shape     shape
	labels    func(*labelCache, *R) *labels // nil: the rows have none.
	metrics   []metric[R]
	own       R // see blank.
}

// metric is how a family takes its value from a row, which may have none.
type metric[R any] struct {
	id    id
	value func(*R) (float64, bool)
}

func rowsOf[R any](t *table, collector string, s shape, labels func(*labelCache, *R) *labels) *rows[R] {
	return &rows[R]{table: t, collector: collector, shape: s, labels: labels}
}

// add adds a family to the table.
func (k *rows[R]) add(f family, value func(*R) (float64, bool)) {
	f.labels, f.collector = k.shape, k.collector
	if k.table.wants(&f) {
		k.metrics = append(k.metrics, metric[R]{id(len(k.table.families)), value})
	}
	k.table.families = append(k.table.families, f)
}

// wanted tells whether any of the families is on.
func (k *rows[R]) wanted() bool { return len(k.metrics) > 0 }

// emit adds the samples of one row.
func (k *rows[R]) emit(out *sink, r *R) {
	var pairs *labels
	for i := range k.metrics {
		m := &k.metrics[i]
		v, ok := m.value(r)
		if !ok {
			continue
		}
		if pairs == nil && k.labels != nil {
			pairs = k.labels(out.labels, r)
		}
		out.add(m.id, v, pairs)
	}
}

// blank returns an empty row to fill in, for what the model has no row for. It is the
// same one each time, so that no memory is allocated for it.
func (k *rows[R]) blank() *R {
	var none R
	k.own = none
	return &k.own
}

// emitCopy adds the samples of a row that was made up for this scrape.
func (k *rows[R]) emitCopy(out *sink, r R) {
	k.own = r
	k.emit(out, &k.own)
	k.blank()
}

// amount is a kernel number as a value; there is none where it is unset or
// unlimited.
func amount(a oom.Amount) (float64, bool) {
	v, ok := a.Get()
	return float64(v), ok
}

// micros is a time in microseconds as seconds.
func micros(a oom.Amount) (float64, bool) {
	v, ok := a.Get()
	return float64(v) / 1e6, ok
}

// timestamp is a time in seconds since the epoch; there is none for the zero time.
func timestamp(t time.Time) (float64, bool) {
	if t.IsZero() {
		return 0, false
	}
	return float64(t.UnixMilli()) / 1e3, true
}

// boolean is 1 for true, else 0.
func boolean(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

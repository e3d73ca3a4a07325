// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"cmp"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// maxValues is how many labels the longest shape has.
const maxValues = 7

// maxFamilies is how many families a label set has room for; a test fails when the
// table outgrows it.
const maxFamilies = 128

// labels is one label set of a shape. Equal label sets are the same object.
type labels struct {
	pairs  []*dto.LabelPair
	used   uint64                   // scrape of the last use.
	scrape uint64                   // scrape that seen is about.
	seen   [maxFamilies / 64]uint64 // families that have a sample with these labels.
}

// list returns the pairs; a nil label set is the empty one.
func (l *labels) list() []*dto.LabelPair {
	if l == nil {
		return nil
	}
	return l.pairs
}

// taken tells whether the family has a sample with these labels in this
// scrape, and notes that it has one now.
func (l *labels) taken(i id, scrape uint64) bool {
	if l == nil {
		return false
	}
	if l.scrape != scrape {
		l.scrape = scrape
		clear(l.seen[:])
	}
	word, bit := i/64, uint64(1)<<(i%64)
	was := l.seen[word]&bit != 0
	l.seen[word] |= bit
	return was
}

// labelCache keeps label sets from scrape to scrape. It belongs to whoever
// holds the Set's gathering lock.
type labelCache struct {
	names   [shapes][]*string
	entries map[string]*labels // by shape and values, see key.
	few     map[[2]string]*dto.LabelPair
	key     []byte
	scrape  uint64
	last    *labels // what workload returned last in this scrape, for lastOf.
	lastOf  oom.Workload
}

func newLabelCache() *labelCache {
	c := &labelCache{entries: map[string]*labels{}, few: map[[2]string]*dto.LabelPair{}}
	for s := range shapes {
		for _, name := range labelNames(s) {
			c.names[s] = append(c.names[s], &name)
		}
	}
	return c
}

// pairs returns the label set of a shape with these values, made valid.
func (c *labelCache) pairs(s shape, values ...string) *labels {
	var valid [maxValues]string
	c.key = append(c.key[:0], byte(s))
	for i, v := range values {
		valid[i] = text.Label(v)                         // users of the node choose the names of processes and cgroups.
		c.key = append(append(c.key, valid[i]...), 0xff) // a separator that no valid text has.
	}
	l := c.entries[string(c.key)]
	if l == nil {
		key := string(c.key)
		l = &labels{pairs: c.build(s, valid[:len(values)])}
		c.entries[key] = l
	}
	l.used = c.scrape
	return l
}

// workload returns the label set of a workload. The last one is often asked for
// again, by another kind of row of the same container.
func (c *labelCache) workload(w oom.Workload) *labels {
	if c.last == nil || c.lastOf != w {
		c.last, c.lastOf = c.pairs(shapeWorkload, w.Namespace, w.Pod, w.Container), w
	}
	return c.last
}

// build makes the pairs of a label set. The pairs of a workload are shared by all
// shapes that begin with them, and so are the pairs of labels with few values.
func (c *labelCache) build(s shape, values []string) []*dto.LabelPair {
	pairs := make([]*dto.LabelPair, 0, len(values))
	if len(values) > 3 && *c.names[s][0] == "namespace" {
		pairs = append(pairs, c.pairs(shapeWorkload, values[:3]...).pairs...)
	}
	for i := len(pairs); i < len(values); i++ {
		pairs = append(pairs, c.pair(c.names[s][i], values[i]))
	}
	// client_golang's own metrics have them ordered by name.
	slices.SortFunc(pairs, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return pairs
}

func (c *labelCache) pair(name *string, value string) *dto.LabelPair {
	switch *name {
	case "level", "scope", "runtime", "qos":
	default:
		return &dto.LabelPair{Name: name, Value: &value}
	}
	p := c.few[[2]string{*name, value}]
	if p == nil {
		p = &dto.LabelPair{Name: name, Value: &value}
		c.few[[2]string{*name, value}] = p
	}
	return p
}

// next begins a scrape and drops what the last three did not use.
func (c *labelCache) next() uint64 {
	for k, l := range c.entries {
		if l.used+2 < c.scrape {
			delete(c.entries, k)
		}
	}
	c.last = nil
	c.scrape++
	return c.scrape
}

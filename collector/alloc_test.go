// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"testing"

	"github.com/prometheus/common/expfmt"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// manyContainers is a host of n pods of one container each.
func manyContainers(n int) *fakeHost {
	h := fullHost()
	row := h.groups.Containers[0]
	h.groups = &oom.Groups{}
	for i := range n {
		g := *row.Group
		g.Workload = oom.Workload{Namespace: fmt.Sprintf("team-%d", i%20), Pod: fmt.Sprintf("web-%06d", i), Container: "app"}
		g.Path = fmt.Sprintf("/kubepods/pod%d/%d", i, i)
		c, p := row, row
		c.Group, p.Group = &g, &g
		h.groups.Containers, h.groups.Pods = append(h.groups.Containers, c), append(h.groups.Pods, p)
	}
	return h
}

// expose gathers and encodes as a scrape does, and returns how many series.
func expose(t testing.TB, s *Set, w io.Writer, format expfmt.FormatType) (series int) {
	t.Helper()
	mfs, done, err := s.Gather(Request{})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	enc := expfmt.NewEncoder(w, expfmt.NewFormat(format))
	for _, mf := range mfs {
		series += len(mf.GetMetric())
		if err := enc.Encode(mf); err != nil {
			t.Fatal(err)
		}
	}
	return series
}

// TestAllocationsPerSeries holds the steady state of gather and encode.
func TestAllocationsPerSeries(t *testing.T) {
	h := manyContainers(1000)
	s := New(h, Options{Kills: h})
	zip := gzip.NewWriter(io.Discard)
	series := expose(t, s, zip, expfmt.TypeTextPlain)
	if series < 15_000 {
		t.Fatalf("%d series are too few to tell", series)
	}
	allocs := testing.AllocsPerRun(5, func() { expose(t, s, zip, expfmt.TypeTextPlain) })
	t.Logf("%.0f allocations for %d series: %.3f each", allocs, series, allocs/float64(series))
	if allocs > 3*float64(series) {
		t.Errorf("%.0f allocations for %d series, want at most 3 each", allocs, series)
	}
}

// BenchmarkGather is the part of BenchmarkExpose before the encoding.
func BenchmarkGather(b *testing.B) {
	h := manyContainers(1000)
	for _, p := range []Profile{ProfileMinimal, ProfileDefault, ProfileFull} {
		b.Run(string(p), func(b *testing.B) {
			s := New(h, Options{Kills: h, Profile: p})
			b.ReportAllocs()
			series := 0
			for b.Loop() {
				mfs, done, err := s.Gather(Request{})
				if err != nil {
					b.Fatal(err)
				}
				series = 0
				for _, mf := range mfs {
					series += len(mf.Metric)
				}
				done()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series), "ns/series")
		})
	}
}

func BenchmarkExpose(b *testing.B) {
	h := manyContainers(1000)
	for name, format := range map[string]expfmt.FormatType{"text": expfmt.TypeTextPlain, "openmetrics": expfmt.TypeOpenMetrics, "protobuf": expfmt.TypeProtoDelim} {
		b.Run(name, func(b *testing.B) {
			s := New(h, Options{Kills: h})
			b.ReportAllocs()
			series := 0
			for b.Loop() {
				series = expose(b, s, bufio.NewWriterSize(io.Discard, 4096), format)
			}
			b.ReportMetric(float64(series), "series")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series), "ns/series")
		})
	}
}

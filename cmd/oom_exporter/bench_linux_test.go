// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-kit/log"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/collector"
	"github.com/oom-exporter/oom_exporter/internal/web"
)

// discard is a client that reads everything.
type discard struct {
	header http.Header
	bytes  int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.bytes += len(b); return len(b), nil }

// BenchmarkScrape is a whole scrape of this host by the program as it is put
// together for serve, without the network. docs/performance.md has a profile
// of it at scale.
func BenchmarkScrape(b *testing.B) {
	c, _, err := parseArgs([]string{"serve", "--events.kmsg=off"}, streams{nil, io.Discard, io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	c.serving = true
	parts, err := assemble(c, log.NewNopLogger())
	if err != nil {
		b.Fatal(err)
	}
	defer parts.close()
	options := c.collectorOptions(log.NewNopLogger())
	options.Kills = parts.kills
	handler, err := web.New(web.Options{Source: source{collector.New(&looks{host: parts.host}, options)}, Self: selfMetrics(c), TelemetryPath: "/metrics"})
	if err != nil {
		b.Fatal(err)
	}
	req := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept-Encoding", "gzip")
	last := &discard{header: http.Header{}}
	handler.ServeHTTP(last, req)
	b.ReportAllocs()
	before := cpuNanos(b)
	for b.Loop() {
		last = &discard{header: http.Header{}}
		handler.ServeHTTP(last, req)
	}
	b.ReportMetric(float64(last.bytes), "bytes")
	b.ReportMetric(float64(cpuNanos(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
}

// cpuNanos is the CPU time of this process.
func cpuNanos(b *testing.B) int64 {
	var spent unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &spent); err != nil {
		b.Fatal(err)
	}
	return spent.Nano()
}

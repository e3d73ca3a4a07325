// SPDX-License-Identifier: Apache-2.0

// Package web serves metrics, the landing page and the health endpoints. It
// knows neither the host nor the collectors: what to serve is passed in.
package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// Request is what a scrape asks for.
type Request struct {
	Collect, Exclude []string
	Deadline         time.Time // zero: none.
}

// Source hands out metric families, and what to call when they are no longer
// used; package collector has one.
type Source interface {
	Validate(r Request) error
	Gather(r Request) ([]*dto.MetricFamily, func(), error)
}

// Page is one more page to serve.
type Page struct {
	Path, Name, Description string
	Document
}

// Options of a handler.
type Options struct {
	Source        Source
	Self          prometheus.Gatherer // the exporter's own metrics; may be nil.
	TelemetryPath string
	MaxRequests   int           // requests for a part of the metrics to work on at one time; 0: no bound.
	MinInterval   time.Duration // the rest between two passes over the host.
	TimeoutOffset time.Duration // taken off the timeout that Prometheus names.
	CreatedLines  bool          // in the OpenMetrics text; the protobuf format has created timestamps anyway.
	Ready         func() bool
	Pages         []Page
	Root          http.Handler // serves / and all that nothing else serves; nil: a page of links.
	Version       string
	Logger        log.Logger
}

// New returns the handler of the whole program.
func New(o Options) (http.Handler, error) {
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	mux := http.NewServeMux()
	sender := newSender()
	mux.Handle(o.TelemetryPath, newScrapes(o, sender))
	mux.HandleFunc("/-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "oom_exporter is healthy.")
	})
	mux.HandleFunc("/-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if o.Ready != nil && !o.Ready() {
			http.Error(w, "oom_exporter has not finished its first scan.", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "oom_exporter is ready.")
	})
	links := []toolkit.LandingLinks{
		{Address: o.TelemetryPath, Text: "Metrics", Description: "for Prometheus"},
	}
	for _, p := range o.Pages {
		mux.Handle(p.Path, newDocuments(p.Document, o.MinInterval, sender))
		links = append(links, toolkit.LandingLinks{Address: p.Path, Text: p.Name, Description: p.Description})
	}
	links = append(links,
		toolkit.LandingLinks{Address: "/-/healthy", Text: "Health"},
		toolkit.LandingLinks{Address: "/-/ready", Text: "Readiness"})
	if o.TelemetryPath == "/" {
		return mux, nil
	}
	if o.Root != nil {
		mux.Handle("/", inTurn(o.Root, o.MinInterval, sender))
		return mux, nil
	}
	landing, err := toolkit.NewLandingPage(toolkit.LandingConfig{
		Name:        "oom_exporter",
		Description: "Which container is about to be OOM-killed, who the kernel will kill next, and who it did kill.",
		Version:     o.Version,
		Profiling:   "false",
		Links:       links,
	})
	if err != nil {
		return nil, fmt.Errorf("make the landing page: %w", err)
	}
	mux.Handle("/", landing)
	return mux, nil
}

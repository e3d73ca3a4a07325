// SPDX-License-Identifier: Apache-2.0

// Package web serves metrics, the landing page and the health endpoints. It
// knows neither the host nor the collectors: what to serve is passed in.
package web

import (
	"fmt"
	stdlog "log"
	"net/http"
	"strconv"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// timeoutHeader tells for how long Prometheus will wait, in seconds.
const timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// Request is what a scrape asks for.
type Request struct {
	Collect, Exclude []string
	Deadline         time.Time // zero: none.
}

// Source hands out metric families; package collector has one.
type Source interface {
	Validate(r Request) error
	Gather(r Request) ([]*dto.MetricFamily, func(), error)
}

// Page is one more page to serve.
type Page struct {
	Path, Name, Description string
	http.Handler
}

// Options of a handler.
type Options struct {
	Source        Source
	Self          prometheus.Gatherer // the exporter's own metrics; may be nil.
	TelemetryPath string
	MaxRequests   int           // requests for metrics at one time; 0: no bound.
	TimeoutOffset time.Duration // taken off the timeout that Prometheus names.
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
	mux.Handle(o.TelemetryPath, metricsHandler(o))
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
		mux.Handle(p.Path, p.Handler)
		links = append(links, toolkit.LandingLinks{Address: p.Path, Text: p.Name, Description: p.Description})
	}
	links = append(links,
		toolkit.LandingLinks{Address: "/-/healthy", Text: "Health"},
		toolkit.LandingLinks{Address: "/-/ready", Text: "Readiness"})
	if o.TelemetryPath == "/" {
		return mux, nil
	}
	if o.Root != nil {
		mux.Handle("/", o.Root)
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

// metricsHandler serves the exposition. A pass over the host is shared by all
// who ask for it while it runs; what differs from the default is not shared.
func metricsHandler(o Options) http.Handler {
	shared := &coalescer{source: o.Source}
	errorLog := stdlog.New(log.NewStdlibAdapter(level.Error(o.Logger)), "", 0)
	gzipped := &squeezer{}
	slots := make(chan struct{}, max(1, o.MaxRequests))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.MaxRequests > 0 {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			default:
				http.Error(w, fmt.Sprintf("%d scrapes are being served already: raise --web.max-requests or scrape less often", o.MaxRequests), http.StatusServiceUnavailable)
				return
			}
		}
		q := r.URL.Query()
		req := Request{Collect: q["collect[]"], Exclude: q["exclude[]"], Deadline: deadline(r, o.TimeoutOffset)}
		if err := validate(o.Source, req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		g := gathering{req: req, self: o.Self, gather: o.Source.Gather}
		if len(req.Collect) == 0 && len(req.Exclude) == 0 {
			g.gather = shared.Gather
		} else {
			g.self = nil
		}
		gzipped.wrap(promhttp.HandlerForTransactional(g, promhttp.HandlerOpts{
			ErrorLog:           errorLog,
			ErrorHandling:      promhttp.ContinueOnError,
			DisableCompression: true,
		})).ServeHTTP(w, r)
	})
}

func validate(s Source, r Request) error {
	if len(r.Collect) > 0 && len(r.Exclude) > 0 {
		return fmt.Errorf("collect[] and exclude[] can't be combined: use one of them")
	}
	return s.Validate(r)
}

// deadline is when Prometheus gives up, less what sending the answer takes.
func deadline(r *http.Request, offset time.Duration) time.Time {
	s, err := strconv.ParseFloat(r.Header.Get(timeoutHeader), 64)
	if err != nil || !(s > 0 && s <= 3600) {
		return time.Time{}
	}
	d := time.Duration(s * float64(time.Second))
	return time.Now().Add(max(d-offset, d/2))
}

// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/guard/act"
	"github.com/oom-exporter/oom_exporter/internal/logging"
	"github.com/oom-exporter/oom_exporter/internal/web"
)

// maxConnections bounds the open connections: only Prometheus and the kubelet
// ask the guard.
const maxConnections = 64

// serve watches, and exposes metrics, until the context ends.
func serve(ctx context.Context, c *config, std streams) error {
	logger, slogger, err := logging.New(std.err, c.logLevel, c.logFormat)
	if err != nil {
		return cli.UsageError{Err: err}
	}
	if err := toolkit.Validate(*c.web.WebConfigFile); err != nil {
		return cli.UsageError{Err: fmt.Errorf("--web.config.file=%s: %w", *c.web.WebConfigFile, err)}
	}
	_ = level.Info(logger).Log("msg", "starting oom_guard", "version", version.Info(), "policy", c.policy)
	if c.policy != string(guard.PolicyNoop) && !act.HasPidfd() {
		_ = level.Warn(logger).Log("msg", withoutPidfd)
	}
	raisePriority(c, logger)
	for _, file := range []string{c.killSwitch, c.throttleFile} {
		// So that touch is enough to throw the switch. Without the directories the switch
		// is not thrown, and nothing is throttled.
		_ = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	p, err := assemble(c, logger)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.kernel.Unthrottle(); err != nil {
		_ = level.Warn(logger).Log("msg", "could not restore memory.high of cgroups that were left throttled", "err", err)
	}
	handler, err := pages(c, p)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	// The sender outlives the guard, so that its last reports are sent, too.
	reporting, reported := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer reported()
		return p.guard.Run(ctx)
	})
	g.Go(func() error {
		p.names.Run(ctx)
		return nil
	})
	if p.events != nil {
		g.Go(func() error {
			p.events.Run(reporting)
			return nil
		})
	}
	if p.warner != nil {
		g.Go(func() error {
			p.warner.Run(ctx)
			return nil
		})
	}
	server := web.Server{Handler: handler, Flags: c.web, MaxConnections: maxConnections, Logger: logger, Slogger: slogger}
	g.Go(func() error { return server.Run(ctx) })
	return g.Wait()
}

// stalled is how long the guard's loop may go without a step before the guard counts
// as broken: by default it takes one every few seconds.
const stalled = 30 * time.Second

// healthy fails if the guard's loop hangs, so that the guard is restarted.
func healthy(stats func() guard.Stats, pollMax time.Duration, now func() time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if s := stats(); !s.Stepped.IsZero() && now().Sub(s.Stepped) > max(stalled, 2*pollMax) {
			http.Error(w, fmt.Sprintf("oom_guard has not looked at anything for %v.", now().Sub(s.Stepped).Round(time.Second)), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "oom_guard is healthy.")
	}
}

// pages is the handler of the whole program.
func pages(c *config, p *parts) (http.Handler, error) {
	reg := prometheus.NewRegistry()
	m := &metrics{policy: guard.Policy(c.policy), stats: p.guard.Stats, off: p.kernel.Off}
	if p.events != nil {
		m.events = p.events.Counts
	}
	if p.warner != nil {
		m.warnings = p.warner.Counts
	}
	reg.MustRegister(m, versioncollector.NewCollector("oom_guard"),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle(c.telemetryPath, promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 10}))
	mux.HandleFunc("/-/healthy", healthy(p.guard.Stats, c.pollMax, time.Now))
	mux.HandleFunc("/-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if s := p.guard.Stats(); s.Scans == s.ScanFailures {
			http.Error(w, "oom_guard has not finished its first scan.", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "oom_guard is ready.")
	})
	if c.telemetryPath == "/" {
		return mux, nil
	}
	landing, err := toolkit.NewLandingPage(toolkit.LandingConfig{
		Name: "oom_guard", Description: "Acts before the kernel's OOM killer must.", Version: version.Info(), Profiling: "false",
		Links: []toolkit.LandingLinks{
			{Address: c.telemetryPath, Text: "Metrics", Description: "for Prometheus"},
			{Address: "/-/healthy", Text: "Health"},
			{Address: "/-/ready", Text: "Readiness"},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make the landing page: %w", err)
	}
	mux.Handle("/", landing)
	return mux, nil
}

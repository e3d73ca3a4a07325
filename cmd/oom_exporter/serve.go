// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"github.com/oom-exporter/oom_exporter/collector"
	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/logging"
	"github.com/oom-exporter/oom_exporter/internal/web"
)

// serve exposes metrics until the context ends.
func serve(ctx context.Context, c *config, std streams) error {
	tuneRuntime()
	logger, slogger, err := logging.New(std.err, c.logLevel, c.logFormat)
	if err != nil {
		return cli.UsageError{Err: err}
	}
	if err := toolkit.Validate(*c.web.WebConfigFile); err != nil {
		return cli.UsageError{Err: fmt.Errorf("--web.config.file=%s: %w", *c.web.WebConfigFile, err)}
	}
	_ = level.Info(logger).Log("msg", "starting oom_exporter", "version", version.Info(), "build", version.BuildContext())
	c.serving = true
	parts, err := assemble(c, logger)
	if err != nil {
		return err
	}
	defer parts.close()
	shared := &looks{host: parts.host}
	set := collector.New(shared, c.collectorOptions(parts, logger))
	var ready atomic.Bool
	handler, err := c.handler(parts, shared, web.Options{Source: source{set}, Ready: ready.Load, Logger: logger})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if _, done, err := set.Gather(collector.Request{}); err == nil {
			done()
		}
		ready.Store(true)
		_ = level.Info(logger).Log("msg", "first scan done")
		return nil
	})
	for _, task := range parts.tasks {
		g.Go(func() error {
			if err := task(ctx); err != nil && ctx.Err() == nil {
				return err
			}
			return nil
		})
	}
	g.Go(func() error { return c.server(handler, std, logger, slogger).Run(ctx) })
	return g.Wait()
}

// server serves the handler as the flags say.
func (c *config) server(handler http.Handler, std streams, logger log.Logger, slogger *slog.Logger) web.Server {
	return web.Server{
		Handler: handler, Flags: c.web, MaxConnections: c.connections, Logger: logger, Slogger: slogger,
		Listening: func() { c.giveUpRights(std, logger) },
	}
}

// giveUpRights drops the rights that serving does not need. It is called once the
// server listens.
func (c *config) giveUpRights(std streams, logger log.Logger) {
	if std.dropRights == nil || !c.dropRights {
		return
	}
	left, err := std.dropRights(c.neededRights())
	if err != nil {
		_ = level.Warn(logger).Log("msg", "cannot give up all rights that are not needed", "left", left, "err", err,
			"remedy", "run the release's binary (built without cgo), or --no-rights.drop to silence this")
		return
	}
	_ = level.Info(logger).Log("msg", "gave up the rights that are not needed", "left", left)
}

// handler serves all that there is: metrics, documents for programs, and pages.
func (c *config) handler(parts *parts, shared *looks, o web.Options) (http.Handler, error) {
	o.Self, o.TelemetryPath, o.Version = selfMetrics(c), c.telemetryPath, version.Info()
	o.MaxRequests, o.MinInterval, o.TimeoutOffset = c.maxRequests, c.minInterval, c.timeoutOffset
	o.CreatedLines = c.createdLines
	if k := parts.kills; k != nil {
		o.Pages = append([]web.Page{killsPage(k.ledger, k.whys.store.Of)}, whyPages(k.records, k.whys)...)
	}
	root, err := c.nodePages(parts, shared)
	if err != nil {
		return nil, err
	}
	o.Root = root
	return web.New(o)
}

func (c *config) collectorOptions(parts *parts, logger log.Logger) collector.Options {
	on := map[string]bool{}
	for name, b := range c.collectors {
		on[name] = *b
	}
	o := collector.Options{Logger: logger, Enabled: on, Profile: collector.Profile(c.profile), Enable: c.enable, Disable: c.disable, Keep: &c.filter, MaxSeries: c.maxSeries}
	if parts.kills != nil {
		w := parts.kills.whys
		o.Kills, o.Advice, o.Leaks = parts.kills, w.Advice, w.Leaks
	}
	if parts.record != nil {
		o.Recorder = parts.record
	}
	return o
}

// selfMetrics are the exporter's own; its version is always among them.
func selfMetrics(c *config) prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(versioncollector.NewCollector("oom_exporter"))
	if c.selfMetrics {
		reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return reg
}

// source lets package web use a Set without importing package collector.
type source struct{ set *collector.Set }

func (s source) Validate(r web.Request) error { return s.set.Validate(collector.Request(r)) }

func (s source) Gather(r web.Request) ([]*dto.MetricFamily, func(), error) {
	return s.set.Gather(collector.Request(r))
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
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
	options := c.collectorOptions(logger)
	var pages []web.Page
	if parts.kills != nil {
		options.Kills = parts.kills
		options.Advice = parts.kills.whys.Advice
		pages = append(pages, killsPage(parts.kills.ledger, parts.kills.whys.store.Of))
		pages = append(pages, whyPages(parts.kills.ledger, parts.kills.whys)...)
	}
	if parts.record != nil {
		options.Recorder = parts.record
	}
	shared := &looks{host: parts.host}
	set := collector.New(shared, options)
	root, err := c.nodePages(parts, shared)
	if err != nil {
		return err
	}
	var ready atomic.Bool
	handler, err := web.New(web.Options{
		Source: source{set}, Self: selfMetrics(c), TelemetryPath: c.telemetryPath,
		MaxRequests: c.maxRequests, MinInterval: c.minInterval, TimeoutOffset: c.timeoutOffset,
		Ready: ready.Load, Pages: pages, Root: root, Version: version.Info(), Logger: logger,
	})
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
	server := web.Server{Handler: handler, Flags: c.web, MaxConnections: c.connections, Logger: logger, Slogger: slogger}
	g.Go(func() error { return server.Run(ctx) })
	return g.Wait()
}

func (c *config) collectorOptions(logger log.Logger) collector.Options {
	on := map[string]bool{}
	for name, b := range c.collectors {
		on[name] = *b
	}
	return collector.Options{Logger: logger, Enabled: on, Enable: c.enable, Disable: c.disable, Keep: &c.filter}
}

// selfMetrics are the exporter's own; its version is always told.
func selfMetrics(c *config) prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(versioncollector.NewCollector("oom_exporter"))
	if c.selfMetrics {
		reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return reg
}

// source lets the web use a Set without knowing its package.
type source struct{ set *collector.Set }

func (s source) Validate(r web.Request) error { return s.set.Validate(collector.Request(r)) }

func (s source) Gather(r web.Request) ([]*dto.MetricFamily, func(), error) {
	return s.set.Gather(collector.Request(r))
}

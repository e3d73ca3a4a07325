// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"
)

// shutdownGrace is how long running scrapes get to end.
const shutdownGrace = 5 * time.Second

// Serve serves the handler as the toolkit's flags say until the context ends;
// scrapes that run then are let finish.
func Serve(ctx context.Context, h http.Handler, flags *toolkit.FlagConfig, logger log.Logger, slogger *slog.Logger) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := toolkit.ListenAndServe(server, flags, slogger)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve: %w", err)
	})
	g.Go(func() error {
		<-ctx.Done()
		_ = level.Info(logger).Log("msg", "shutting down")
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			_ = level.Warn(logger).Log("msg", "scrapes were cut off", "err", err)
			return server.Close()
		}
		return nil
	})
	return g.Wait()
}

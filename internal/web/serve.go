// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

const (
	// shutdownGrace is how long running scrapes get to finish.
	shutdownGrace = 5 * time.Second
	// Bounds on the time and memory that a connection may take.
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second // no request has a body.
	writeTimeout   = time.Minute      // of the pages that are not sent by a sender.
	idleTimeout    = 3 * time.Minute  // longer than nearly all scrape intervals.
	maxHeaderBytes = 16 << 10
	maxStreams     = 16 // of an HTTP/2 connection.
	// maxRate bounds the requests per second, of all kinds and from all clients
	// together: those beyond it wait.
	maxRate = 1000
)

// Server serves a handler as the toolkit's flags say.
type Server struct {
	Handler        http.Handler
	Flags          *toolkit.FlagConfig
	MaxConnections int // 0: no bound.
	Logger         log.Logger
	Slogger        *slog.Logger // for the toolkit.
	Listening      func()       // called once all addresses are listened on; may be nil.
}

// Run serves until the context ends, and then lets running scrapes finish.
func (s Server) Run(ctx context.Context) error {
	server := s.httpServer()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := toolkit.ListenAndServe(server, s.Flags, s.Slogger)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve: %w", err)
	})
	g.Go(func() error {
		<-ctx.Done()
		_ = level.Info(s.Logger).Log("msg", "shutting down")
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			_ = level.Warn(s.Logger).Log("msg", "scrapes were cut off", "err", err)
			return server.Close()
		}
		return nil
	})
	return g.Wait()
}

// httpServer returns a server that no client can make grow without bound.
func (s Server) httpServer() *http.Server {
	server := &http.Server{
		Handler:           throttle(s.Handler, rate.NewLimiter(maxRate, maxRate)),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	if s.Listening != nil {
		listening := sync.OnceFunc(s.Listening)
		server.BaseContext = func(net.Listener) context.Context {
			listening()
			return context.Background()
		}
	}
	if s.MaxConnections > 0 {
		server.ConnState = newConnections(s.MaxConnections, func() {
			_ = level.Warn(s.Logger).Log("msg", "too many connections: closing the least used ones", "connections", s.MaxConnections,
				"remedy", "let only Prometheus and the kubelet reach the port (a NetworkPolicy, a firewall)")
		}).track
	}
	return server
}

// throttle makes requests that come too fast wait.
func throttle(next http.Handler, limit *rate.Limiter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if limit.Wait(r.Context()) != nil {
			return // the client has gone.
		}
		next.ServeHTTP(w, r)
	})
}

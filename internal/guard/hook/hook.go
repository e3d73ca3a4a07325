// SPDX-License-Identifier: Apache-2.0

// Package hook sends warnings to a URL, so that a workload, or whoever looks after
// it, can do something before it is killed. A server that is slow or gone costs
// warnings and nothing else.
package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/guard"
)

const (
	// queue is how many warnings may wait.
	queue = 16
	// timeout is how long one may take. The limit may be reached by then.
	timeout = 2 * time.Second
)

// Sender sends warnings by HTTP POST, as JSON. Make one with New.
type Sender struct {
	url     string
	client  *http.Client
	logger  log.Logger
	waiting chan guard.Warning

	sent, failed, dropped atomic.Uint64
}

// New returns a Sender to a URL.
func New(to string, logger log.Logger) (*Sender, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("warn URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("warn URL %q must be like http://127.0.0.1:8080/oom", to)
	}
	client := &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Sender{url: to, client: client, logger: logger, waiting: make(chan guard.Warning, queue)}, nil
}

// Warn implements guard.Warner: it never waits.
func (s *Sender) Warn(w guard.Warning) {
	select {
	case s.waiting <- w:
	default:
		s.dropped.Add(1)
	}
}

// Counts returns how many warnings were sent, how many could not be sent, and how many
// were dropped because the queue was full.
func (s *Sender) Counts() (sent, failed, dropped uint64) {
	return s.sent.Load(), s.failed.Load(), s.dropped.Load()
}

// Run sends until the context ends.
func (s *Sender) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-s.waiting:
			if err := s.post(ctx, w); err != nil {
				s.failed.Add(1)
				_ = level.Warn(s.logger).Log("msg", "could not send a warning", "cgroup", w.Cgroup, "err", err)
				continue
			}
			s.sent.Add(1)
		}
	}
}

func (s *Sender) post(ctx context.Context, w guard.Warning) error {
	b, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	_, err = io.CopyN(io.Discard, answer.Body, 64<<10)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	err = errors.Join(err, answer.Body.Close())
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the hook answered %s", answer.Status)
	}
	return err
}

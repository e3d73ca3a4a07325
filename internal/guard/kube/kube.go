// SPDX-License-Identifier: Apache-2.0

// Package kube writes Events on pods, with nothing but HTTPS and the service
// account's token. It needs the rights to create and patch events, no more. An
// API server that is slow or gone costs events and nothing else: they wait in a
// short queue and are dropped when it is full.
package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// Event is one thing that happened to a pod.
type Event struct {
	Namespace, Pod, PodUID, Container string
	Reason, Message                   string
	Time                              time.Time
}

// Options of a Sender.
type Options struct {
	API       string // like https://10.96.0.1:443.
	TokenFile string // read anew for each request: tokens expire.
	CAFile    string
	Node      string // where it happened.
	Timeout   time.Duration
	Queue     int
	Logger    log.Logger
}

// Usual returns the options for running in a pod, from what kubelet gives it.
func Usual(getenv func(string) string) Options {
	const dir = "/var/run/secrets/kubernetes.io/serviceaccount/"
	o := Options{TokenFile: dir + "token", CAFile: dir + "ca.crt", Node: getenv("NODE_NAME")}
	if host := getenv("KUBERNETES_SERVICE_HOST"); host != "" {
		o.API = "https://" + net.JoinHostPort(host, getenv("KUBERNETES_SERVICE_PORT"))
	}
	return o
}

// repeat is for how long another such event on the same pod only raises the count of
// the first one.
const repeat = 10 * time.Minute

// maxKnown bounds the events that may be counted up.
const maxKnown = 1000

// Sender sends events, one after the other.
type Sender struct {
	o       Options
	client  *http.Client
	queue   chan Event
	known   map[key]*written
	sent    atomic.Uint64
	failed  atomic.Uint64
	dropped atomic.Uint64
	down    bool
}

type key struct{ uid, container, reason string }

// written is an event that the API server has.
type written struct {
	name  string
	count int
	first time.Time
}

// New returns a Sender; Run makes it work.
func New(o Options) (*Sender, error) {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if u, err := url.Parse(o.API); err != nil || u.Host == "" {
		return nil, fmt.Errorf("use the API server %q: want an address like https://10.96.0.1:443; in a pod it is in KUBERNETES_SERVICE_HOST", o.API)
	}
	transport := &http.Transport{MaxIdleConns: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: o.Timeout}
	if strings.HasPrefix(o.API, "https:") {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the API server's CA: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the API server's CA: no certificate in %s", o.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &Sender{
		o: o, queue: make(chan Event, o.Queue), known: map[key]*written{},
		client: &http.Client{Transport: transport, Timeout: o.Timeout},
	}, nil
}

// Send queues an event and never waits.
func (s *Sender) Send(e Event) {
	if e.Namespace == "" || e.Pod == "" {
		return
	}
	select {
	case s.queue <- e:
	default:
		s.dropped.Add(1)
	}
}

// Counts tells how many events were sent, could not be sent, and were dropped.
func (s *Sender) Counts() (sent, failed, dropped uint64) {
	return s.sent.Load(), s.failed.Load(), s.dropped.Load()
}

// Run sends until ctx ends, and then what is queued, for as long as one request
// may take.
func (s *Sender) Run(ctx context.Context) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.o.Timeout, cancel) })()
	for {
		select {
		case e := <-s.queue:
			s.deliver(last, e)
			continue
		default:
		}
		select {
		case e := <-s.queue:
			s.deliver(last, e)
		case <-ctx.Done():
			if len(s.queue) == 0 {
				return
			}
		}
	}
}

// deliver sends one event, trying three times.
func (s *Sender) deliver(ctx context.Context, e Event) {
	var err error
	for pause := time.Second; pause <= 4*time.Second; pause *= 2 {
		if err = s.write(ctx, e); err == nil {
			s.sent.Add(1)
			if s.down {
				s.down = false
				_ = level.Info(s.o.Logger).Log("msg", "events are being written again")
			}
			return
		}
		var refused refusal
		if errors.As(err, &refused) && refused.final() {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	s.failed.Add(1)
	if !s.down {
		s.down = true
		_ = level.Warn(s.o.Logger).Log("msg", "events can't be written; nothing else is affected", "err", err)
	}
}

// write raises the count of an event that is known, or creates the event.
func (s *Sender) write(ctx context.Context, e Event) error {
	base := s.o.API + "/api/v1/namespaces/" + url.PathEscape(e.Namespace) + "/events"
	k := key{e.PodUID + "/" + e.Namespace + "/" + e.Pod, e.Container, e.Reason}
	if w := s.known[k]; w != nil && e.Time.Sub(w.first) < repeat {
		err := s.request(ctx, http.MethodPatch, base+"/"+w.name, "application/merge-patch+json", map[string]any{
			"count": w.count + 1, "lastTimestamp": stamp(e.Time), "message": e.Message,
		})
		var refused refusal
		if !errors.As(err, &refused) || refused.status != http.StatusNotFound {
			if err == nil {
				w.count++
			}
			return err
		}
	}
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	w := &written{name: fmt.Sprintf("%.200s.%x", e.Pod, e.Time.UnixNano()), count: 1, first: e.Time}
	if err := s.request(ctx, http.MethodPost, base, "application/json", s.object(e, w)); err != nil {
		return err
	}
	s.known[k] = w
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// object is the Event of the core API.
func (s *Sender) object(e Event, w *written) map[string]any {
	about := map[string]any{"apiVersion": "v1", "kind": "Pod", "namespace": e.Namespace, "name": e.Pod}
	if e.PodUID != "" {
		about["uid"] = e.PodUID
	}
	if e.Container != "" {
		about["fieldPath"] = "spec.containers{" + e.Container + "}"
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata":       map[string]any{"name": w.name, "namespace": e.Namespace},
		"involvedObject": about, "reason": e.Reason, "message": e.Message, "type": "Warning", "count": 1,
		"firstTimestamp": stamp(e.Time), "lastTimestamp": stamp(e.Time),
		"source":             map[string]any{"component": "oom-guard", "host": s.o.Node},
		"reportingComponent": "oom-guard", "reportingInstance": s.o.Node,
	}
}

// refusal is a response with any status but success.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string {
	return fmt.Sprintf("the API server answered %d: %s", r.status, r.text)
}

// final tells whether the same request would be refused again.
func (r refusal) final() bool {
	return r.status >= 400 && r.status < 500 && r.status != http.StatusTooManyRequests && r.status != http.StatusUnauthorized
}

func (s *Sender) request(ctx context.Context, method, address, kind string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	token, err := os.ReadFile(s.o.TokenFile)
	if err != nil {
		return fmt.Errorf("read the service account's token: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", kind)
	res, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	const enough = 4 << 10
	text, _ := io.ReadAll(io.LimitReader(res.Body, enough)) // the connection is used again when all is read.
	if res.StatusCode/100 != 2 {
		return refusal{res.StatusCode, fmt.Sprintf("%.200q", text)}
	}
	return nil
}

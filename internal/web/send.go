// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// sendTimeout is how long a client may take to read an answer.
	sendTimeout = 10 * time.Second
	// sendChunk is how much is written at a time; progress is noted after each
	// chunk.
	sendChunk = 64 << 10
	// maxUnread bounds the bytes of all answers that clients have not read yet;
	// each answer counts once, however many clients share it.
	maxUnread = 24 << 20
)

// answer is a finished response. Many requests may share it: it must not be
// modified.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// answerWriter is the http.ResponseWriter that an answer is made with.
type answerWriter struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *answerWriter) Header() http.Header { return w.header }

func (w *answerWriter) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
}

func (w *answerWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

// record returns what a handler answers.
func record(h http.Handler, r *http.Request) *answer {
	w := &answerWriter{header: http.Header{}}
	h.ServeHTTP(w, r)
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return &answer{status: w.status, header: w.header, body: w.body.Bytes()}
}

// pageRest is the longest rest between two pages for people.
const pageRest = 100 * time.Millisecond

// inTurn lets a handler make one answer at a time, with a rest after each, and
// sends them when they are made.
func inTurn(h http.Handler, rest time.Duration, s *sender) http.Handler {
	pace := newPacer(min(rest, pageRest))
	made := func(r *http.Request) *answer {
		defer pace.end()
		return record(h, r)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pace.begin(r.Context()) != nil {
			return // the client has gone.
		}
		s.send(w, made(r))
	})
}

// sender sends answers. When too much is unread, the clients of the answer that
// has stalled for longest are cut off.
type sender struct {
	timeout   time.Duration
	maxUnread int

	mu     sync.Mutex
	unread int
	held   map[*answer]*holding
}

// holding is an answer that is being sent.
type holding struct {
	progress time.Time // when any of its clients last made some.
	clients  map[*http.ResponseController]struct{}
}

func newSender() *sender {
	return &sender{timeout: sendTimeout, maxUnread: maxUnread, held: map[*answer]*holding{}}
}

// send writes the answer; it returns when the client has read it, is too slow
// or has gone.
func (s *sender) send(w http.ResponseWriter, a *answer) {
	client := http.NewResponseController(w)
	// Where no deadline can be set, as in tests, there is no client to wait for.
	_ = client.SetWriteDeadline(time.Now().Add(s.timeout))
	s.hold(a, client)
	defer s.drop(a, client)
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	for rest := a.body; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), sendChunk)])
		if err != nil {
			return
		}
		rest = rest[n:]
		s.advance(a)
	}
}

func (s *sender) hold(a *answer, client *http.ResponseController) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[a]
	if h == nil {
		h = &holding{clients: map[*http.ResponseController]struct{}{}}
		s.held[a] = h
		s.unread += len(a.body)
	}
	h.progress = time.Now()
	h.clients[client] = struct{}{}
	for s.unread > s.maxUnread && s.cutStalest(a) {
	}
}

// cutStalest cuts off the clients of the answer that has stalled for longest,
// other than keep. It returns false where there is none.
func (s *sender) cutStalest(keep *answer) bool {
	var stalest *answer
	for a, h := range s.held {
		if a != keep && (stalest == nil || h.progress.Before(s.held[stalest].progress)) {
			stalest = a
		}
	}
	if stalest == nil {
		return false
	}
	for client := range s.held[stalest].clients {
		_ = client.SetWriteDeadline(time.Now())
	}
	s.forget(stalest)
	return true
}

func (s *sender) advance(a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[a]; h != nil {
		h.progress = time.Now()
	}
}

// drop is called before the connection can be used for another answer, since
// cutStalest must not cut that one off.
func (s *sender) drop(a *answer, client *http.ResponseController) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[a]
	if h == nil {
		return
	}
	delete(h.clients, client)
	if len(h.clients) == 0 {
		s.forget(a)
	}
}

func (s *sender) forget(a *answer) {
	delete(s.held, a)
	s.unread -= len(a.body)
}

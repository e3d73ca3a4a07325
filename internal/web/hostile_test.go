// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/log"
)

// serving serves as Run does, with at most so many connections, and returns the
// address and how many connections there are.
func serving(t *testing.T, h http.Handler, most int) (string, *connectionCount) {
	t.Helper()
	server := Server{Handler: h, MaxConnections: most, Logger: log.NewNopLogger()}.httpServer()
	open := &connectionCount{}
	bound := server.ConnState
	server.ConnState = func(c net.Conn, s http.ConnState) {
		if bound != nil {
			bound(c, s)
		}
		open.track(c, s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String(), open
}

// stall sends a request on a connection of its own and never reads.
func stall(t *testing.T, address, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	return c
}

// honest scrapes on a connection of its own.
func honest(address, path string) (code int, length int, err error) {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	resp, err := client.Get("http://" + address + path)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, int(n), err
}

// Clients that do not read hold no slot, and nobody else up.
func TestStalledClientsHoldNoSlot(t *testing.T) {
	const size = 400 << 10
	src := &fakeSource{names: []string{"a"}, help: strings.Repeat("x", size)}
	address, _ := serving(t, handler(t, Options{Source: src, MaxRequests: 40}), 256)
	for range 40 {
		stall(t, address, "/metrics")
		stall(t, address, "/metrics?collect[]=node")
	}
	for i := range 40 {
		path := [...]string{"/metrics", "/metrics?collect[]=node"}[i%2]
		if code, n, err := honest(address, path); code != http.StatusOK || n < size || err != nil {
			t.Errorf("honest scrape %d of %s: %d, %d bytes, %v", i, path, code, n, err)
		}
	}
}

// A client that reads too slowly is cut off, whoever else shares the answer.
func TestSlowClientsAreCutOff(t *testing.T) {
	s := newSender()
	s.timeout = 100 * time.Millisecond
	big := &answer{status: http.StatusOK, header: http.Header{}, body: make([]byte, 32<<20)}
	ended := make(chan struct{}, 1)
	address, _ := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.send(w, big)
		if r.URL.Path == "/slow" {
			ended <- struct{}{}
		}
	}), 0)
	stall(t, address, "/slow")
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the slow client still holds its answer")
	}
	if len(s.held) != 0 || s.unread != 0 {
		t.Errorf("%d answers, %d bytes still held", len(s.held), s.unread)
	}
}

// What is unread is bounded: the clients that stalled first go.
func TestUnreadAnswersAreBounded(t *testing.T) {
	const size = 8 << 20
	s := newSender()
	s.timeout, s.maxUnread = time.Minute, 3*size
	var begun, ended atomic.Int64
	address, _ := serving(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun.Add(1)
		s.send(w, &answer{status: http.StatusOK, header: http.Header{}, body: make([]byte, size)})
		ended.Add(1)
	}), 0)
	for i := range 20 {
		stall(t, address, "/")
		until(t, "the request was taken", func() bool { return begun.Load() > int64(i) })
	}
	until(t, "17 stalled clients have ended", func() bool { return ended.Load() >= 17 })
	for range 5 {
		if code, n, err := honest(address, "/"); code != http.StatusOK || n != size || err != nil {
			t.Errorf("honest client: %d, %d bytes, %v", code, n, err)
		}
	}
	until(t, "the first honest client cost a stalled one its place", func() bool { return ended.Load() >= 17+1+5 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread > s.maxUnread || len(s.held) > 3 {
		t.Errorf("%d answers of %d bytes are held", len(s.held), s.unread)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// A crowd of idle connections keeps nobody out, and its memory is bounded.
func TestIdleConnectionsAreBounded(t *testing.T) {
	src := &fakeSource{names: []string{"a"}}
	address, open := serving(t, handler(t, Options{Source: src}), 20)
	for i := range 200 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 { // an idle one; the others have sent nothing.
			fmt.Fprint(c, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if i%20 == 0 {
			if code, _, err := honest(address, "/metrics"); code != http.StatusOK || err != nil {
				t.Fatalf("honest scrape after %d connections: %d, %v", i, code, err)
			}
		}
	}
	if n := open.most.Load(); n > 25 {
		t.Errorf("%d connections were open, want about 20 at most", n)
	}
}

// connectionCount counts the connections that the server has.
type connectionCount struct{ now, most atomic.Int64 }

func (o *connectionCount) track(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		o.most.Store(max(o.most.Load(), o.now.Add(1)))
	case http.StateClosed:
		o.now.Add(-1)
	}
}

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 1}
}

func (c *fakeConn) Close() error {
	c.closed = true
	return nil
}

// Room is made at the cost of the address that has most, and there of the least
// used connection.
func TestWhichConnectionIsClosed(t *testing.T) {
	told := 0
	cs := newConnections(4, func() { told++ })
	prometheus := &fakeConn{from: "10.0.0.1"}
	crowd := make([]*fakeConn, 6)
	for i := range crowd {
		crowd[i] = &fakeConn{from: "10.0.0.2"}
	}
	cs.track(prometheus, http.StateNew)
	cs.track(prometheus, http.StateIdle)
	for _, c := range crowd[:3] {
		cs.track(c, http.StateNew)
	}
	cs.track(crowd[0], http.StateActive)
	cs.track(crowd[2], http.StateIdle)
	for i, want := range []int{2, 1, 3} { // idle, then the older one without a request.
		if i < 2 {
			cs.track(crowd[3+i], http.StateNew)
		} else {
			cs.track(crowd[5], http.StateNew)
		}
		if !crowd[want].closed {
			t.Errorf("new connection %d: connection %d is still open", i, want)
		}
	}
	if prometheus.closed || crowd[0].closed || len(cs.open) != 4 {
		t.Errorf("Prometheus closed %v, a running request closed %v, %d open", prometheus.closed, crowd[0].closed, len(cs.open))
	}
	for _, c := range append(crowd, prometheus) {
		cs.track(c, http.StateClosed)
	}
	if len(cs.open) != 0 || len(cs.count) != 0 || told != 1 {
		t.Errorf("%d open, counts %v, told %d times", len(cs.open), cs.count, told)
	}
}

// Different queries of a document wait in bounded number; those for all of it
// are one.
func TestQueriesAreBounded(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	d := newDocuments(Document{Parse: func(v url.Values) (Query, error) {
		return heldQuery{v.Encode(), begun, hold}, nil
	}}, 0, newSender())
	var all sync.WaitGroup
	codes := make(chan int, 100)
	request := func(path string) {
		all.Go(func() { codes <- get(d, path).Code })
	}
	request("/?n=first")
	<-begun
	for i := range maxQueries + 3 {
		request(fmt.Sprint("/?n=", i))
	}
	busy := 0
	for range 4 {
		if <-codes == http.StatusServiceUnavailable {
			busy++
		}
	}
	for range 10 {
		request("/")
	}
	close(hold)
	go func() {
		for range begun { // those that follow.
		}
	}()
	all.Wait()
	close(begun)
	close(codes)
	for code := range codes {
		if code != http.StatusOK {
			t.Errorf("status %d", code)
		}
	}
	if busy != 4 {
		t.Errorf("%d queries were turned away, want 4", busy)
	}
}

type heldQuery struct {
	key         string
	begun, hold chan struct{}
}

func (q heldQuery) Key() string { return q.key }

func (q heldQuery) Write(w io.Writer) error {
	q.begun <- struct{}{}
	<-q.hold
	_, err := io.WriteString(w, q.key)
	return err
}

// Pages for people are made one at a time, and those who do not read them hold
// no turn.
func TestPagesAreMadeInTurn(t *testing.T) {
	var now, most, made atomic.Int64
	root := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer now.Add(-1)
		most.Store(max(most.Load(), now.Add(1)))
		made.Add(1)
		_, _ = w.Write(make([]byte, 400<<10))
	})
	address, _ := serving(t, handler(t, Options{Source: &fakeSource{}, Root: root}), 256)
	for range 40 {
		stall(t, address, "/node")
	}
	until(t, "all pages are made", func() bool { return made.Load() == 40 })
	if code, n, err := honest(address, "/"); code != http.StatusOK || n != 400<<10 || err != nil {
		t.Errorf("an honest reader: %d, %d bytes, %v", code, n, err)
	}
	if most.Load() > 1 {
		t.Errorf("%d pages were made at one time", most.Load())
	}
}

// Parts of the metrics are worked on in bounded number.
func TestTooManyRequestsAreTurnedAway(t *testing.T) {
	src := &fakeSource{names: []string{"a"}, begun: make(chan struct{}, 1), hold: make(chan struct{})}
	h := handler(t, Options{Source: src, MaxRequests: 1})
	first := make(chan int)
	go func() { first <- get(h, "/metrics?collect[]=node").Code }()
	<-src.begun
	for _, path := range []string{"/metrics?exclude[]=node", "/metrics?name[]=a"} {
		if w := get(h, path); w.Code != 503 || !strings.Contains(w.Body.String(), "--web.max-requests") {
			t.Errorf("%s = %d %s", path, w.Code, w.Body)
		}
	}
	close(src.hold)
	if code := <-first; code != 200 {
		t.Errorf("first scrape = %d", code)
	}
}

// A client that has gone, or whose timeout is over, does not wait.
func TestTimeoutWhileWaiting(t *testing.T) {
	src := &fakeSource{names: []string{"a"}, begun: make(chan struct{}, 1), hold: make(chan struct{})}
	h := handler(t, Options{Source: src})
	defer close(src.hold)
	go get(h, "/metrics")
	<-src.begun
	if w := get(h, "/metrics", timeoutHeader, "0.004"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "timeout") {
		t.Errorf("a scrape with a timeout of 4 ms: %d %s", w.Code, w.Body)
	}
}

// All requests together are no faster than the limit.
func TestRequestsAreThrottled(t *testing.T) {
	h := Server{Handler: http.NotFoundHandler()}.httpServer().Handler
	start := time.Now()
	for range maxRate * 3 / 2 {
		get(h, "/")
	}
	if took := time.Since(start); took < 400*time.Millisecond {
		t.Errorf("%d requests took %v", maxRate*3/2, took)
	}
	gone, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("gone"))
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(gone)
	h.ServeHTTP(httptest.NewRecorder(), r)
}

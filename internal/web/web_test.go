// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// fakeSource hands out one gauge a name and counts its passes.
type fakeSource struct {
	names    []string
	passes   atomic.Int64
	released atomic.Int64
	last     atomic.Pointer[Request]
	begun    chan struct{} // told when a pass begins; may be nil.
	hold     chan struct{} // a pass waits for it; may be nil.
}

func (f *fakeSource) Validate(r Request) error {
	for _, n := range slices.Concat(r.Collect, r.Exclude) {
		if n != "node" {
			return errors.New("unknown collector " + n)
		}
	}
	return nil
}

func (f *fakeSource) Gather(r Request) ([]*dto.MetricFamily, func(), error) {
	f.passes.Add(1)
	f.last.Store(&r)
	if f.begun != nil {
		f.begun <- struct{}{}
	}
	if f.hold != nil {
		<-f.hold
	}
	var mfs []*dto.MetricFamily
	for _, n := range f.names {
		typ, v := dto.MetricType_GAUGE, 1.0
		mfs = append(mfs, &dto.MetricFamily{Name: &n, Type: &typ, Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &v}}}})
	}
	return mfs, func() { f.released.Add(1) }, nil
}

func handler(t *testing.T, o Options) http.Handler {
	t.Helper()
	if o.TelemetryPath == "" {
		o.TelemetryPath = "/metrics"
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPages(t *testing.T) {
	ready := false
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "b_self"}))
	src := &fakeSource{names: []string{"a_first", "c_last"}}
	h := handler(t, Options{
		Source: src, Self: reg, Ready: func() bool { return ready },
		Pages: []Page{{Path: "/api/v1/kills", Name: "Kills", Handler: http.NotFoundHandler()}},
	})
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/", 200, "/api/v1/kills"},
		{"/-/healthy", 200, "healthy"},
		{"/-/ready", 503, "first scan"},
		{"/metrics", 200, "a_first 1\n# HELP b_self \n# TYPE b_self gauge\nb_self 0\n# TYPE c_last gauge"},
		{"/metrics?name[]=c_last", 200, "# TYPE c_last gauge\nc_last 1\n"},
		{"/metrics?collect[]=node", 200, "a_first 1\n# TYPE c_last"},
		{"/metrics?collect[]=nobody", 400, "unknown collector nobody"},
		{"/metrics?collect[]=node&exclude[]=node", 400, "can't be combined"},
		{"/nothing", 404, ""},
	} {
		w := get(h, c.path)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("GET %s = %d %q, want %d with %q", c.path, w.Code, w.Body.String(), c.code, c.want)
		}
	}
	ready = true
	if w := get(h, "/-/ready"); w.Code != 200 {
		t.Errorf("ready = %d", w.Code)
	}
	if p, r := src.passes.Load(), src.released.Load(); p != r {
		t.Errorf("%d passes, %d released", p, r)
	}
}

// TestRootServesTheRest: what has an address of its own keeps it.
func TestRootServesTheRest(t *testing.T) {
	h := handler(t, Options{
		Source: &fakeSource{}, Pages: []Page{{Path: "/api/v1/kills", Handler: http.NotFoundHandler()}},
		Root: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "root "+r.URL.Path) }),
	})
	for path, want := range map[string]string{"/": "root /", "/kills/1": "root /kills/1", "/-/healthy": "healthy", "/api/v1/kills": "404"} {
		if body := get(h, path).Body.String(); !strings.Contains(body, want) {
			t.Errorf("GET %s = %q, want %q", path, body, want)
		}
	}
}

func TestNameFilterServesOnlyThatFamily(t *testing.T) {
	h := handler(t, Options{Source: &fakeSource{names: []string{"a_first", "c_last"}}})
	if body := get(h, "/metrics?name[]=c_last").Body.String(); strings.Contains(body, "a_first") {
		t.Errorf("filtered body has a_first: %s", body)
	}
}

func TestTimeoutHeaderBecomesADeadline(t *testing.T) {
	src := &fakeSource{names: []string{"a"}}
	h := handler(t, Options{Source: src, TimeoutOffset: time.Second})
	for _, c := range []struct {
		header   string
		min, max time.Duration
	}{
		{"10", 8 * time.Second, 9 * time.Second},
		{"1", 300 * time.Millisecond, 500 * time.Millisecond},
	} {
		get(h, "/metrics", timeoutHeader, c.header)
		left := time.Until(src.last.Load().Deadline)
		if left < c.min || left > c.max {
			t.Errorf("header %s leaves %v, want %v to %v", c.header, left, c.min, c.max)
		}
	}
	for _, odd := range []string{"", "no", "-1", "NaN", "1e99"} {
		get(h, "/metrics", timeoutHeader, odd)
		if d := src.last.Load().Deadline; !d.IsZero() {
			t.Errorf("header %q gives deadline %v, want none", odd, d)
		}
	}
}

func TestConcurrentRequestsShareAPass(t *testing.T) {
	src := &fakeSource{names: []string{"a"}, begun: make(chan struct{}, 1), hold: make(chan struct{})}
	c := &coalescer{source: src}
	const scrapers = 50
	var wg sync.WaitGroup
	scrape := func() {
		mfs, done, err := c.Gather(Request{})
		if err != nil || len(mfs) != 1 {
			t.Errorf("Gather = %v, %v", mfs, err)
		}
		done()
	}
	wg.Go(scrape)
	<-src.begun
	for range scrapers - 1 {
		wg.Go(scrape)
	}
	for {
		c.mu.Lock()
		n := c.pass.readers.Load()
		c.mu.Unlock()
		if n == scrapers {
			break
		}
		runtime.Gosched()
	}
	close(src.hold)
	wg.Wait()
	if n := src.passes.Load(); n != 1 {
		t.Errorf("%d passes for %d scrapers, want 1", n, scrapers)
	}
	if n := src.released.Load(); n != 1 {
		t.Errorf("released %d times, want 1", n)
	}
}

func TestSlowReaderHoldsNothing(t *testing.T) {
	src := &fakeSource{names: []string{"a"}}
	c := &coalescer{source: src}
	_, slow, _ := c.Gather(Request{})
	_, quick, _ := c.Gather(Request{})
	quick()
	if n := src.passes.Load(); n != 2 {
		t.Errorf("%d passes, want 2: the second scraper got old numbers", n)
	}
	slow()
	slow()
	if n := src.released.Load(); n != 2 {
		t.Errorf("released %d times, want 2", n)
	}
}

func TestTooManyRequestsAreTurnedAway(t *testing.T) {
	src := &fakeSource{names: []string{"a"}, begun: make(chan struct{}, 1), hold: make(chan struct{})}
	srv := httptest.NewServer(handler(t, Options{Source: src, MaxRequests: 1}))
	defer srv.Close()
	first := make(chan int)
	go func() {
		resp, err := http.Get(srv.URL + "/metrics")
		if err != nil {
			first <- 0
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		first <- resp.StatusCode
	}()
	<-src.begun
	resp, err := http.Get(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 503 || !strings.Contains(string(body), "--web.max-requests") {
		t.Errorf("second scrape = %d %s", resp.StatusCode, body)
	}
	close(src.hold)
	if code := <-first; code != 200 {
		t.Errorf("first scrape = %d", code)
	}
}

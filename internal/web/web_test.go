// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// fakeSource hands out one gauge a name and counts its passes.
type fakeSource struct {
	names    []string
	help     string
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
		mf := &dto.MetricFamily{Name: &n, Type: &typ, Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &v}}}}
		if f.help != "" {
			mf.Help = &f.help
		}
		mfs = append(mfs, mf)
	}
	return mfs, func() { f.released.Add(1) }, nil
}

// echo is a document that says what was asked for.
var echo = Document{
	ContentType: "text/plain",
	Parse: func(values url.Values) (Query, error) {
		if values.Has("bad") {
			return nil, errors.New("bad is bad")
		}
		return echoQuery(values.Encode()), nil
	},
}

type echoQuery string

func (q echoQuery) Key() string { return string(q) }

func (q echoQuery) Write(w io.Writer) error {
	if strings.HasPrefix(string(q), "broken") {
		return errors.New("can't write")
	}
	_, err := fmt.Fprintln(w, "query", string(q))
	return err
}

func handler(t testing.TB, o Options) http.Handler {
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
		Pages: []Page{{Path: "/api/v1/kills", Name: "Kills", Document: echo}},
	})
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/", 200, "/api/v1/kills"},
		{"/-/healthy", 200, "healthy"},
		{"/-/ready", 503, "first scan"},
		{"/api/v1/kills", 200, "query \n"},
		{"/api/v1/kills?a=b", 200, "query a=b\n"},
		{"/api/v1/kills?bad=1", 400, "bad is bad"},
		{"/api/v1/kills?broken=1", 500, "can't write"},
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
		Source: &fakeSource{}, Pages: []Page{{Path: "/api/v1/kills", Document: echo}},
		Root: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "root "+r.URL.Path) }),
	})
	for path, want := range map[string]string{"/": "root /", "/kills/1": "root /kills/1", "/-/healthy": "healthy", "/api/v1/kills": "query"} {
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
	for _, tiny := range []string{"0.004", "1e-9", "5e-324", "0.15"} {
		get(h, "/metrics", timeoutHeader, tiny)
		if left := time.Until(src.last.Load().Deadline); left > minTimeout || left < minTimeout/2-20*time.Millisecond {
			t.Errorf("header %s leaves %v, want %v at least", tiny, left, minTimeout/2)
		}
	}
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
	for _, odd := range []string{"", "no", "-1", "-0", "0", "NaN", "Inf", "-Inf", "1e99", "3601", "10s", "0x", "1e400", "10,20", strings.Repeat("9", 400)} {
		get(h, "/metrics", timeoutHeader, odd)
		if d := src.last.Load().Deadline; !d.IsZero() {
			t.Errorf("header %q gives deadline %v, want none", odd, d)
		}
	}
}

// A scrape that can't do its work says so.
func TestFailedPass(t *testing.T) {
	h := handler(t, Options{Source: failing{&fakeSource{}}})
	for _, path := range []string{"/metrics", "/metrics?collect[]=node"} {
		if w := get(h, path); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "deadline is over") {
			t.Errorf("%s = %d %s", path, w.Code, w.Body)
		}
	}
}

type failing struct{ *fakeSource }

func (failing) Gather(Request) ([]*dto.MetricFamily, func(), error) {
	return nil, nil, errors.New("deadline is over")
}

// TestFormats: what a client accepts is what it gets, and classic text otherwise.
func TestFormats(t *testing.T) {
	const (
		text   = "text/plain; version=0.0.4"
		om     = "application/openmetrics-text; version=1.0.0"
		proto  = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
		server = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2"
		native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + server
	)
	const classic = "# HELP a_total \n# TYPE a_total counter\na_total 3\n# HELP b \n# TYPE b gauge\nb 1\n"
	const plain = "# HELP a \n# TYPE a counter\na_total 3.0\n# HELP b \n# TYPE b gauge\nb 1.0\n# EOF\n"
	const created = "# HELP a \n# TYPE a counter\na_total 3.0\na_created 1.7e+09\n# HELP b \n# TYPE b gauge\nb 1.0\n# EOF\n"
	src := &fakeSource{names: []string{"b"}}
	for _, c := range []struct {
		accept, format, want string
		createdLines         bool
	}{
		{"", text, classic, false},
		{"*/*", text, classic, true},
		{"text/html,*/*;q=0.8", text, classic, false},
		{"text/plain;version=0.0.4", text, classic, true},
		{"application/openmetrics-text", "application/openmetrics-text; version=0.0.1", plain, false},
		{"application/openmetrics-text;version=1.0.0", om, plain, false},
		{"application/openmetrics-text;version=1.0.0", om, created, true},
		{server, om, plain, false},
		{server, om, created, true},
		{native, proto, "", false},
	} {
		h := handler(t, Options{Source: counting{src}, CreatedLines: c.createdLines})
		w := get(h, "/metrics", "Accept", c.accept)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, c.format) {
			t.Errorf("%q gives %s, want %s", c.accept, got, c.format)
		}
		if got := w.Body.String(); c.want != "" && got != c.want {
			t.Errorf("%q gives %q, want %q", c.accept, got, c.want)
		}
	}
	// One pass serves each in its own form.
	h := handler(t, Options{Source: counting{src}})
	for range 2 {
		if a, b := get(h, "/metrics").Body.String(), get(h, "/metrics", "Accept", server).Body.String(); a != classic || b != plain {
			t.Errorf("in turn: %q and %q", a, b)
		}
	}
}

// counting has a counter with a created timestamp, too.
type counting struct{ *fakeSource }

func (c counting) Gather(r Request) ([]*dto.MetricFamily, func(), error) {
	mfs, done, err := c.fakeSource.Gather(r)
	name, help, typ, v := "a_total", "", dto.MetricType_COUNTER, 3.0
	for _, mf := range mfs {
		mf.Help = &help
	}
	a := &dto.MetricFamily{Name: &name, Help: &help, Type: &typ, Metric: []*dto.Metric{{Counter: &dto.Counter{Value: &v, CreatedTimestamp: timestamppb.New(time.Unix(1_700_000_000, 0))}}}}
	return append([]*dto.MetricFamily{a}, mfs...), done, err
}

// FuzzHeaders asks with headers of a client's choice.
func FuzzHeaders(f *testing.F) {
	f.Add("10", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "gzip;q=1.0, identity; q=0.5")
	f.Add("1e-9", "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8", "*;q=0")
	f.Add("NaN", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "x-gzip")
	src := &fakeSource{names: []string{"a", "b"}}
	h := handler(f, Options{Source: src, TimeoutOffset: 500 * time.Millisecond})
	f.Fuzz(func(t *testing.T, timeout, accept, encoding string) {
		before := time.Now()
		w := get(h, "/metrics", timeoutHeader, timeout, "Accept", accept, "Accept-Encoding", encoding)
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("status %d, %d bytes", w.Code, w.Body.Len())
		}
		if d := src.last.Load().Deadline; !d.IsZero() && (d.Before(before) || d.After(time.Now().Add(time.Hour))) {
			t.Errorf("deadline in %v", d.Sub(before))
		}
		if zipped := strings.HasPrefix(w.Body.String(), "\x1f\x8b"); zipped != (w.Header().Get("Content-Encoding") == "gzip") {
			t.Errorf("gzip %v, but the header says %q", zipped, w.Header().Get("Content-Encoding"))
		}
	})
}

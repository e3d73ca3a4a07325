// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const (
	// timeoutHeader tells for how long Prometheus will wait, in seconds.
	timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"
	// minTimeout is the least timeout of a request, whatever the header says.
	minTimeout = 100 * time.Millisecond
	// maxAccept is how long a header that says what a client accepts may be before it
	// is ignored. Prometheus sends 400 bytes.
	maxAccept = 1 << 10
	// maxWait is how long a request without the header waits for its answer.
	maxWait = time.Minute
)

// families is what a pass over the host gives.
type families = []*dto.MetricFamily

// scrapes serves the exposition. A pass over the host is shared by all who ask
// for everything; a request for a part has a pass of its own.
type scrapes struct {
	o        Options
	shared   *sharer[families]
	parts    *pacer
	slots    chan struct{} // for requests whose work is not shared; nil: no bound.
	sender   *sender
	gzipped  *squeezer
	formats  []expfmt.Format // those that Prometheus reads; without an Accept header, text.
	errorLog *stdlog.Logger
}

var errTooLate = errors.New("the scrape took longer than its timeout allows")

func newScrapes(o Options, s *sender) *scrapes {
	h := &scrapes{
		o: o, parts: newPacer(o.MinInterval), sender: s, gzipped: &squeezer{},
		formats:  []expfmt.Format{expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtOpenMetrics_0_0_1, expfmt.FmtProtoDelim, expfmt.FmtText},
		errorLog: stdlog.New(log.NewStdlibAdapter(level.Error(o.Logger)), "", 0),
	}
	h.shared = &sharer[families]{pace: newPacer(o.MinInterval), gather: h.gatherAll}
	if o.MaxRequests > 0 {
		h.slots = make(chan struct{}, o.MaxRequests)
	}
	return h
}

// ServeHTTP makes the answer, gives its slot back, and then sends the answer.
func (h *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	timeout, wait := h.timeout(r.Header.Get(timeoutHeader))
	req := Request{Collect: q["collect[]"], Exclude: q["exclude[]"]}
	if timeout > 0 {
		req.Deadline = time.Now().Add(timeout)
	}
	if err := validate(h.o.Source, req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	a, err := h.answer(ctx, req, q, r)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errTooLate
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	h.sender.send(w, a)
}

// answer makes what is sent, or takes what has been made for others.
func (h *scrapes) answer(ctx context.Context, req Request, q url.Values, r *http.Request) (*answer, error) {
	header := h.formOf(r.Header)
	names := q["name[]"]
	render := func(mfs families) *answer { return h.encode(mfs, header, names) }
	if len(req.Collect)+len(req.Exclude)+len(names) == 0 {
		key := fmt.Sprint(header)
		return h.shared.answer(ctx, req.Deadline, key, render)
	}
	if h.slots != nil {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		default:
			return nil, fmt.Errorf("%d scrapes are being worked on already: raise --web.max-requests or scrape less often", h.o.MaxRequests)
		}
	}
	if err := h.parts.begin(ctx); err != nil {
		return nil, err
	}
	defer h.parts.end()
	gather := func() (families, func(), error) { return h.gather(req) }
	if len(req.Collect)+len(req.Exclude) == 0 {
		gather = func() (families, func(), error) { return h.gatherAll(req.Deadline) }
	}
	mfs, release, err := gather()
	if err != nil {
		return nil, err
	}
	defer release()
	return render(mfs), nil
}

// formOf returns headers that ask for the same form as the client's. There are few
// forms: how the client wants names escaped makes no difference to names that need
// no escaping, and so is left to the server.
func (h *scrapes) formOf(client http.Header) http.Header {
	encodings := client.Values("Accept-Encoding")
	if len(client.Get("Accept")) > maxAccept {
		client = nil
	}
	format, _, _ := strings.Cut(string(expfmt.NegotiateAccept(client, h.formats...)), "; escaping=")
	header := http.Header{"Accept": {format}}
	if len(strings.Join(encodings, ",")) <= maxAccept && takesGzip(encodings) {
		header.Set("Accept-Encoding", "gzip")
	}
	return header
}

// gatherAll is a pass, with the exporter's own metrics.
func (h *scrapes) gatherAll(deadline time.Time) (families, func(), error) {
	mfs, release, err := h.gather(Request{Deadline: deadline})
	if err != nil || h.o.Self == nil {
		return mfs, release, err
	}
	own, err := h.o.Self.Gather()
	if err != nil {
		h.errorLog.Println("gather the exporter's own metrics:", err)
	}
	all := slices.Concat(mfs, own)
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all, release, nil
}

// gather makes a pass, unless its deadline has passed already.
func (h *scrapes) gather(req Request) (families, func(), error) {
	if !req.Deadline.IsZero() && !time.Now().Before(req.Deadline) {
		return nil, nil, context.DeadlineExceeded
	}
	return h.o.Source.Gather(req)
}

// encode writes the families, or those with the names, in the form that the
// headers ask for.
func (h *scrapes) encode(mfs families, header http.Header, names []string) *answer {
	r := &http.Request{Method: http.MethodGet, Header: header, URL: &url.URL{RawQuery: url.Values{"name[]": names}.Encode()}}
	fixed := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return mfs, nil })
	return record(h.gzipped.wrap(promhttp.HandlerFor(fixed, promhttp.HandlerOpts{
		ErrorLog:           h.errorLog,
		ErrorHandling:      promhttp.ContinueOnError,
		DisableCompression: true,
		AcceptedFormats:    h.formats,

		EnableOpenMetricsTextCreatedSamples: h.o.CreatedLines,
	})), r)
}

func validate(s Source, r Request) error {
	if len(r.Collect) > 0 && len(r.Exclude) > 0 {
		return fmt.Errorf("collect[] and exclude[] can't be combined: use one of them")
	}
	return s.Validate(r)
}

// timeout reads the header of Prometheus: how long a pass may take, 0 for no
// bound, and for how long the request waits. Sending the answer takes a part of
// the time. Anything but a sensible number of seconds counts as no header.
func (h *scrapes) timeout(header string) (pass, wait time.Duration) {
	s, err := strconv.ParseFloat(header, 64)
	if err != nil || !(s > 0 && s <= 3600) {
		return 0, maxWait
	}
	d := max(time.Duration(s*float64(time.Second)), minTimeout)
	return max(d-h.o.TimeoutOffset, d/2), d
}

// SPDX-License-Identifier: Apache-2.0

// Package page serves what people look at in a browser: the node, its
// workloads, each kill, and what the exporter can see. The pages are rendered
// here, work without scripts and load nothing from elsewhere. They show what
// they are given: the package reads neither the host nor the kernel log.
package page

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// refreshEvery is after how many seconds a page that shows the present is loaded
// again. A header says so, since a reader can switch it off.
const refreshEvery = "10"

// Look is what one pass over the host saw; what could not be read is nil.
type Look struct {
	Time      time.Time
	Node      *oom.NodeState
	Groups    *oom.Groups
	Processes *oom.Processes
	Err       error // what is missing, and why.
}

// Past is what was recorded before the present.
type Past interface {
	// Recording returns what the flight recorder kept of the time before a kill.
	Recording(killID string) (oom.Recording, bool)
	// Verdict returns why a kill came about.
	Verdict(killID string) (oom.Verdict, bool)
	// Track returns the recent past of a cgroup that is there.
	Track(cgroup string) (oom.Track, bool)
}

// Finding is what is known of one source of the exporter's data.
type Finding struct {
	Source string
	State  State
	Detail string
	Remedy string // empty: there is nothing to do.
}

// State is how much is seen of a source, from all of it to nothing of what is
// needed.
type State int

// The states.
const (
	StateOK       State = iota
	StateOptional       // not there, and need not be.
	StateLimited        // seen in part only.
	StateMissing
)

// String returns the state in a word.
func (s State) String() string {
	return [...]string{"ok", "optional", "limited", "missing"}[s]
}

// Link is one more place of this exporter.
type Link struct{ Path, Text string }

// Options of the pages. Look is required.
type Options struct {
	Host    string // the node's name.
	Version string
	Look    func() Look
	Kills   func() []oom.Kill // oldest first; nil: kills are not recorded.
	Past    Past              // nil: nothing is recorded of the time before a kill.
	// Explain returns the kernel's report of a kill in words, empty where the
	// log does not have it any more; may be nil.
	Explain func(*oom.Kill) string
	// Findings returns what doctor finds, and a summary; may be nil.
	Findings func() ([]Finding, string)
	Links    []Link
	Now      func() time.Time
}

// New returns the handler of all pages, to be served at the root.
func New(o Options) (http.Handler, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Kills == nil {
		o.Kills = func() []oom.Kill { return nil }
	}
	t, err := parseTemplates()
	if err != nil {
		return nil, err
	}
	p := &pages{o: o, templates: t, slots: make(chan struct{}, maxRenders)}
	mux := http.NewServeMux()
	for pattern, show := range map[string]func(*http.Request) answer{
		"GET /{$}":                   p.node,
		"GET /kills":                 p.kills,
		"GET /kills/{id}":            p.kill,
		"GET /workloads":             p.workloads,
		"GET /workloads/{container}": p.workload,
		"GET /workloads/{namespace}/{pod}/{container}": p.workload,
		"GET /doctor": p.doctor,
		"GET /":       p.nothing,
	} {
		mux.Handle(pattern, p.serve(show))
	}
	mux.HandleFunc("GET "+stylePath, serveStyle)
	return mux, nil
}

// maxRenders is how many pages are made at one time; further requests wait.
const maxRenders = 2

type pages struct {
	o         Options
	templates templates
	slots     chan struct{}
}

// answer is one page before it is rendered.
type answer struct {
	name    string // of the template.
	title   string
	code    int  // 0: 200.
	present bool // it shows the present and is loaded again.
	time    time.Time
	body    any
}

// frame is what is around the body of every page.
type frame struct {
	Title, Host, Version string
	Root                 string // the way to the root, so that pages also work behind a proxy's path.
	Time                 string
	Refreshes, Paused    bool
	Toggle               string // link that stops the refreshing, or starts it again.
	Links                []Link
	HasFindings          bool
	Body                 any
}

// serve renders what show answers. The answer is sent only when the page is
// complete and its slot given back: a slow reader holds nobody up.
func (p *pages) serve(show func(*http.Request) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case p.slots <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		var b bytes.Buffer
		code, err := p.render(&b, w.Header(), r, show)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(code)
		_, _ = b.WriteTo(w)
	})
}

// render makes one page and its headers, and gives the slot back.
func (p *pages) render(b *bytes.Buffer, header http.Header, r *http.Request, show func(*http.Request) answer) (code int, err error) {
	defer func() { <-p.slots }()
	a := show(r)
	f := frame{
		Title: a.title, Host: p.o.Host, Version: p.o.Version, Root: rootOf(r), Links: p.o.Links,
		HasFindings: p.o.Findings != nil, Body: a.body,
	}
	if !a.time.IsZero() {
		f.Time = clock(a.time)
	}
	protect(header)
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	if a.present {
		f.Refreshes, f.Toggle, f.Paused = true, toggle(r), r.URL.Query().Has("pause")
		if !f.Paused {
			header.Set("Refresh", refreshEvery)
		}
	}
	return max(a.code, http.StatusOK), p.templates[a.name].Execute(b, f)
}

// protect tells the browser to run nothing and to load nothing but the style.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
}

// rootOf is the relative way from a request's path to the root.
func rootOf(r *http.Request) string {
	if depth := strings.Count(r.URL.EscapedPath(), "/") - 1; depth > 0 {
		return strings.Repeat("../", depth)
	}
	return "./"
}

// toggle is the query of this page with the refreshing stopped, or not.
func toggle(r *http.Request) string {
	q := r.URL.Query()
	if q.Has("pause") {
		q.Del("pause")
	} else {
		q.Set("pause", "1")
	}
	return "?" + q.Encode()
}

// pageRows is how many rows of a list are on one page.
const pageRows = 200

// more is the way to the rest of a list; empty where there is none.
type more struct{ Link, Text string }

// section cuts the part of a list that a request asks for, and says where the
// rest is.
func section[T any](r *http.Request, list []T) ([]T, more) {
	q := r.URL.Query()
	from, err := strconv.Atoi(q.Get("from"))
	if err != nil || from < 0 || from >= len(list) {
		from = 0
	}
	to := min(from+pageRows, len(list))
	if to == len(list) {
		return list[from:to], more{}
	}
	q.Set("from", strconv.Itoa(to))
	return list[from:to], more{"?" + q.Encode(), fmt.Sprintf("The next %d of %d more", min(pageRows, len(list)-to), len(list)-to)}
}

// nothing is the page for an address that does not exist.
func (p *pages) nothing(*http.Request) answer {
	return answer{name: "missing", title: "Not found", code: http.StatusNotFound, body: "There is no such page."}
}

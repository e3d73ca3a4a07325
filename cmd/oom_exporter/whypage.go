// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net/http"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/web"
)

// Where a running exporter says why, and what to change.
const (
	whyPath    = "/api/v1/why"
	advicePath = "/api/v1/advice"
)

// maxWhyRequests is how many requests for either are served at one time: each
// may copy a recording.
const maxWhyRequests = 4

// whyPages serve why one kill came about (?kill=ID, a process id or a
// workload), and what the limits should be.
func whyPages(records func() []oom.Kill, w *whys) []web.Page {
	slots := make(chan struct{}, maxWhyRequests)
	return []web.Page{
		{
			Path: whyPath, Name: "Why", Description: "why the last OOM kill came about, as JSON; ?kill= chooses another",
			Handler: bounded(slots, func(out http.ResponseWriter, r *http.Request) {
				k, err := find(records(), r.URL.Query().Get("kill"))
				if err != nil {
					http.Error(out, err.Error(), http.StatusNotFound)
					return
				}
				writeDocument(out, w.explain(k))
			}),
		},
		{
			Path: advicePath, Name: "Advice", Description: "what the memory limits of this node's containers should be, as JSON",
			Handler: bounded(slots, func(out http.ResponseWriter, _ *http.Request) {
				if w.recorder == nil {
					http.Error(out, "the flight recorder is off or has no cgroups to record: no advice", http.StatusNotFound)
					return
				}
				writeDocument(out, report.FromAdvice(w.Advice()))
			}),
		},
	}
}

// bounded lets in as many requests for GET at one time as there are slots.
func bounded(slots chan struct{}, handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			handle(w, r)
		case <-r.Context().Done():
		}
	}
}

func writeDocument(w http.ResponseWriter, d report.Document) {
	var b bytes.Buffer
	if err := report.JSON(&b, d); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = b.WriteTo(w)
}

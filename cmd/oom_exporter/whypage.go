// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"net/url"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/web"
)

// Where a running exporter says why, and what to change.
const (
	whyPath    = "/api/v1/why"
	advicePath = "/api/v1/advice"
)

// whyPages serve why one kill came about (?kill=ID, a process id or a
// workload), and what the limits should be.
func whyPages(records func() []oom.Kill, w *whys) []web.Page {
	why := func(values url.Values) (report.Document, error) {
		k, err := find(records(), values.Get("kill"))
		if err != nil {
			return report.Document{}, web.NotFound{Err: err}
		}
		return w.explain(k), nil
	}
	advice := func(url.Values) (report.Document, error) {
		if w.recorder == nil {
			return report.Document{}, web.NotFound{Err: errors.New("the flight recorder is off or has no cgroups to record: no advice")}
		}
		return report.FromAdvice(w.Advice()), nil
	}
	return []web.Page{
		{
			Path: whyPath, Name: "Why", Description: "why the last OOM kill came about, as JSON; ?kill= chooses another",
			Document: jsonDocument(why, "kill"),
		},
		{
			Path: advicePath, Name: "Advice", Description: "what the memory limits of this node's containers should be, as JSON",
			Document: jsonDocument(advice),
		},
	}
}

// jsonDocument serves a document that is made from the query's parameters; an unknown
// one is an error.
func jsonDocument(make func(url.Values) (report.Document, error), known ...string) web.Document {
	return web.Document{
		ContentType: "application/json",
		Parse: func(values url.Values) (web.Query, error) {
			if err := checkParameters(values, known...); err != nil {
				return nil, err
			}
			return jsonQuery{values, make}, nil
		},
	}
}

type jsonQuery struct {
	values url.Values
	make   func(url.Values) (report.Document, error)
}

// Key implements web.Query.
func (q jsonQuery) Key() string { return q.values.Encode() }

// Write implements web.Query.
func (q jsonQuery) Write(w io.Writer) error {
	d, err := q.make(q.values)
	if err != nil {
		return err
	}
	return report.JSON(w, d)
}

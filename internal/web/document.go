// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxQueries is how many requests with a query a document takes at one time.
const maxQueries = 8

// Query is what a client wants of a document.
type Query interface {
	// Key tells queries with different answers apart.
	Key() string
	// Write writes the answer.
	Write(w io.Writer) error
}

// NotFound is the error of a Query that asks for something that is not there.
type NotFound struct{ Err error }

// Error implements error.
func (e NotFound) Error() string { return e.Err.Error() }

// Unwrap returns the error that says what is not there.
func (e NotFound) Unwrap() error { return e.Err }

// Document is a page that is made when it is asked for. Clients with the same
// query share it, and it is made no more often than a pass over the host.
type Document struct {
	ContentType string
	// Parse reads a query. The client gets its error as a bad request.
	Parse func(url.Values) (Query, error)
}

type documents struct {
	Document
	shared *sharer[struct{}]
	slots  chan struct{}
	sender *sender
}

func newDocuments(d Document, rest time.Duration, s *sender) *documents {
	nothing := func(time.Time) (struct{}, func(), error) { return struct{}{}, nil, nil }
	return &documents{
		Document: d, sender: s, slots: make(chan struct{}, maxQueries),
		shared: &sharer[struct{}]{pace: newPacer(rest), gather: nothing},
	}
}

func (d *documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := d.Parse(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxWait)
	defer cancel()
	a, err := d.answer(ctx, q, len(r.URL.RawQuery) > 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	d.sender.send(w, a)
}

// answer makes the document, or takes what has been made for others. Requests
// for all of it need no slot: they share one answer.
func (d *documents) answer(ctx context.Context, q Query, part bool) (*answer, error) {
	if part {
		select {
		case d.slots <- struct{}{}:
			defer func() { <-d.slots }()
		default:
			return nil, fmt.Errorf("%d other queries are being answered: try again", maxQueries)
		}
	}
	return d.shared.answer(ctx, time.Time{}, q.Key(), func(struct{}) *answer {
		w := &answerWriter{header: http.Header{"Content-Type": {d.ContentType}}}
		if err := q.Write(w); err != nil {
			status := http.StatusInternalServerError
			if _, ok := errors.AsType[NotFound](err); ok {
				status = http.StatusNotFound
			}
			return &answer{
				status: status, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
				body: []byte(strings.TrimSpace(err.Error()) + "\n"),
			}
		}
		return &answer{status: http.StatusOK, header: w.header, body: w.body.Bytes()}
	})
}

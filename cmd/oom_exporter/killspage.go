// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/ledger"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/web"
)

// killsPath is where a running exporter serves its records; `events --url`
// reads them.
const killsPath = "/api/v1/kills"

// maxKillsLimit is the largest limit that a client may ask for.
const maxKillsLimit = 1_000_000

// killsPage serves the recorded kills as JSON, oldest first.
func killsPage(l *ledger.Ledger, verdict func(id string) (oom.Verdict, bool)) web.Page {
	return web.Page{
		Path: killsPath, Name: "Kills", Description: "the recorded OOM kills of this node, as JSON",
		Document: web.Document{
			ContentType: "application/json",
			Parse: func(values url.Values) (web.Query, error) {
				q, err := parseKillsQuery(values, time.Now())
				if err != nil {
					return nil, err
				}
				q.verdict = verdict
				q.records = func() []oom.Kill {
					l.Sync()
					return l.Records()
				}
				return q, nil
			},
		},
	}
}

// killsQuery is which of the recorded kills a client wants.
type killsQuery struct {
	limit          int       // at most this many of the newest; 0: all.
	since          time.Time // zero: all.
	namespace, pod string    // empty: all.

	key     string
	records func() []oom.Kill
	verdict func(id string) (oom.Verdict, bool)
}

// parseKillsQuery reads limit, since, namespace and pod.
func parseKillsQuery(values url.Values, now time.Time) (*killsQuery, error) {
	if err := checkParameters(values, "limit", "since", "namespace", "pod"); err != nil {
		return nil, err
	}
	q := &killsQuery{key: values.Encode()}
	q.namespace, q.pod = values.Get("namespace"), values.Get("pod")
	if s := values.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxKillsLimit {
			return nil, fmt.Errorf("limit=%q must be a number from 1 to %d", s, maxKillsLimit)
		}
		q.limit = n
	}
	if s := values.Get("since"); s != "" {
		since, err := parseSince(s, now)
		if err != nil {
			return nil, err
		}
		q.since = since
	}
	return q, nil
}

// checkParameters refuses a parameter that is unknown or given more than once: a
// filter with a typo in it must not pass for one that matches everything.
func checkParameters(values url.Values, known ...string) error {
	for name, all := range values {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return fmt.Errorf("unknown parameter %q: this page takes none", name)
		case !slices.Contains(known, name):
			return fmt.Errorf("unknown parameter %q: this page takes %s", name, strings.Join(known, ", "))
		case len(all) > 1:
			return fmt.Errorf("parameter %s is given %d times", name, len(all))
		}
	}
	return nil
}

// parseSince reads a time, or how long ago it was. A "+" in the time zone arrives as a
// space if the URL did not escape it.
func parseSince(s string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, strings.ReplaceAll(s, " ", "+"))
	if err != nil {
		return time.Time{}, fmt.Errorf("since=%q must be a time like 2026-11-24T10:00:00Z or how long ago, like 2h", s)
	}
	return t, nil
}

// Key implements web.Query.
func (q *killsQuery) Key() string { return q.key }

// Write implements web.Query.
func (q *killsQuery) Write(w io.Writer) error {
	kept, omitted := q.choose(q.records())
	return report.WriteKills(w, kept, omitted, q.verdict)
}

// choose returns the kills that are wanted, and how many more the limit leaves
// out.
func (q *killsQuery) choose(all []oom.Kill) (kept []oom.Kill, omitted int) {
	for i := range all {
		if q.wants(&all[i]) {
			kept = append(kept, all[i])
		}
	}
	if q.limit > 0 && len(kept) > q.limit {
		omitted = len(kept) - q.limit
	}
	return kept[omitted:], omitted
}

func (q *killsQuery) wants(k *oom.Kill) bool {
	return !k.Time.Before(q.since) &&
		(q.namespace == "" || k.Workload.Namespace == q.namespace) &&
		(q.pod == "" || k.Workload.Pod == q.pod)
}

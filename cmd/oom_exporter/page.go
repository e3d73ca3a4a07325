// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/version"

	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/page"
	"github.com/oom-exporter/oom_exporter/internal/report"
)

// findingsFor is how long the findings of doctor are reused: each examination reads
// the whole host.
const findingsFor = 30 * time.Second

// nodePages are the pages for people; nil where they are switched off.
func (c *config) nodePages(parts *parts, shared *looks) (http.Handler, error) {
	if !c.webPage {
		return nil, nil
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "?"
	}
	o := page.Options{
		Host: hostname, Version: "oom_exporter " + version.Version, Look: shared.Look,
		Links: []page.Link{
			{Path: strings.TrimPrefix(c.telemetryPath, "/"), Text: "Metrics"},
			{Path: "-/healthy", Text: "Health"},
			{Path: "-/ready", Text: "Readiness"},
		},
	}
	d := &findings{config: c, access: func() (cgroups, err error) { return errNoEvents, errNoEvents }}
	if parts.kills != nil {
		d.access = func() (cgroups, err error) { // reopening BPF takes rights that may be gone.
			return parts.listError(), parts.kills.feed.BPFError()
		}
		o.Kills = func() []oom.Kill {
			parts.kills.ledger.Sync()
			return parts.kills.ledger.Records()
		}
		o.Links = append(o.Links, page.Link{Path: strings.TrimPrefix(killsPath, "/"), Text: "Kills as JSON"})
		o.Explain = (&explainer{config: c}).explain
		o.Past = past{parts.kills.whys}
	}
	o.Findings = d.get
	return page.New(o)
}

// past gives the pages the recordings and verdicts of kills, and the tracks of cgroups.
type past struct{ whys *whys }

func (p past) Recording(killID string) (oom.Recording, bool) {
	if p.whys.recorder == nil {
		return oom.Recording{}, false
	}
	return p.whys.recorder.Recording(killID)
}

func (p past) Verdict(killID string) (oom.Verdict, bool) { return p.whys.store.Of(killID) }

func (p past) Track(cgroup string) (oom.Track, bool) {
	if p.whys.recorder == nil {
		return oom.Track{}, false
	}
	return p.whys.recorder.Current(cgroup)
}

// explained is how long the report of one kill is reused: finding it means reading the
// whole kernel log.
const explained = 10 * time.Second

// explainer tells what the kernel log says of one kill, one at a time.
type explainer struct {
	config *config

	mu   sync.Mutex
	kill oom.Kill
	at   time.Time
	text string
}

func (e *explainer) explain(k *oom.Kill) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	same := e.kill.Victim.PID == k.Victim.PID && e.kill.Time.Equal(k.Time)
	if !same || time.Since(e.at) > explained {
		e.kill, e.text, e.at = *k, e.config.explainKill(k), time.Now()
	}
	return e.text
}

// explainKill returns what the kernel log says of one kill; empty if it has nothing.
func (c *config) explainKill(k *oom.Kill) string {
	if k.Victim.PID == 0 || k.Time.IsZero() || c.kmsgMode == string(killfeed.Off) {
		return ""
	}
	records, err := killfeed.ReadLog(context.Background(), c.kmsg)
	if err != nil {
		return ""
	}
	const around = time.Minute // the log's clock may differ from the recorded time after the wall clock was set.
	var b bytes.Buffer
	err = report.ExplainRecords(records, &b, report.Options{
		PageSize: pageSize(), Name: ownerOf,
		Select: report.Selection{PID: k.Victim.PID, Since: k.Time.Add(-around), Until: k.Time.Add(around)},
	})
	if err != nil {
		return ""
	}
	return b.String()
}

var errNoEvents = errors.New("the event collector is off")

// findings keeps the findings of doctor for a while.
type findings struct {
	config *config
	access func() (cgroups, err error) // see examine.

	mu      sync.Mutex
	at      time.Time
	list    []page.Finding
	summary string
}

func (d *findings) get() ([]page.Finding, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.list != nil && time.Since(d.at) < findingsFor {
		return d.list, d.summary
	}
	d.list, d.at = d.config.examine(d.access), time.Now()
	d.summary = summarize(d.list)
	return d.list, d.summary
}

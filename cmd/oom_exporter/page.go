// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
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

// findingsFor is for how long what doctor found is shown again: each look
// reads all of the host.
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
	if parts.kills != nil {
		o.Kills = func() []oom.Kill {
			parts.kills.ledger.Sync()
			return parts.kills.ledger.Records()
		}
		o.Links = append(o.Links, page.Link{Path: strings.TrimPrefix(killsPath, "/"), Text: "Kills as JSON"})
		o.Explain = c.explainKill
		o.Past = past{parts.kills.whys}
	}
	d := &findings{config: c}
	o.Findings = d.get
	return page.New(o)
}

// past hands the pages what was recorded and said of it.
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

// explainKill tells what the kernel log says of one kill, as long as it has it.
func (c *config) explainKill(k *oom.Kill) string {
	if k.Victim.PID == 0 || c.kmsgMode == string(killfeed.Off) {
		return ""
	}
	records, err := killfeed.ReadLog(context.Background(), c.kmsg)
	if err != nil {
		return ""
	}
	var b bytes.Buffer
	around := time.Minute // the log's clock may differ from the recorded time after a change of the wall clock.
	err = report.ExplainRecords(records, &b, report.Options{
		PageSize: pageSize(), Name: ownerOf,
		Select: report.Selection{PID: k.Victim.PID, Since: k.Time.Add(-around), Until: k.Time.Add(around)},
	})
	if err != nil {
		return ""
	}
	return b.String()
}

// findings keeps what doctor found for a while.
type findings struct {
	config *config

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
	d.list, d.at = d.config.examine(), time.Now()
	d.summary = summarize(d.list)
	return d.list, d.summary
}

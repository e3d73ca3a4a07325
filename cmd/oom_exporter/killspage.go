// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net/http"

	"github.com/oom-exporter/oom_exporter/internal/ledger"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/web"
)

// killsPath is where a running exporter serves its records; `events --url`
// reads them.
const killsPath = "/api/v1/kills"

// killsPage serves the recorded kills as JSON, oldest first.
func killsPage(l *ledger.Ledger, verdict func(id string) (oom.Verdict, bool)) web.Page {
	return web.Page{
		Path: killsPath, Name: "Kills", Description: "the recorded OOM kills of this node, as JSON",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			l.Sync()
			var b bytes.Buffer
			doc := report.FromKills(l.Records())
			doc.AddVerdicts(verdict)
			if err := report.JSON(&b, doc); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = b.WriteTo(w)
		}),
	}
}

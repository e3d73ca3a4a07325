// SPDX-License-Identifier: Apache-2.0

package page

import "net/http"

// findingRow is one source in the list.
type findingRow struct {
	Finding
	Class string
}

type doctorBody struct {
	Notice notice
	Rows   []findingRow
}

// doctor is the page about what the exporter can see.
func (p *pages) doctor(*http.Request) answer {
	if p.o.Findings == nil {
		return answer{name: "missing", title: "Not found", code: http.StatusNotFound, body: "There is no such page."}
	}
	classes := map[State]string{StateOK: "ok", StateOptional: "info", StateLimited: "warn", StateMissing: "bad"}
	b := doctorBody{}
	findings, summary := p.o.Findings()
	for _, f := range findings {
		b.Rows = append(b.Rows, findingRow{f, classes[f.State]})
	}
	b.Notice = notice{"ok", summary, ""}
	for _, f := range findings {
		if f.State >= StateLimited {
			b.Notice.Class = "warn"
		}
	}
	return answer{name: "doctor", title: "Doctor", time: p.o.Now(), body: b}
}

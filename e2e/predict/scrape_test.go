// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// said is what one scrape of the exporter says of the node.
type said struct {
	left   int64   // kill margin, bytes.
	kills  float64 // since boot.
	victim int     // pid, 0 if none is named.
	lead   int64   // of the victim's badness over the next, in pages.
}

// ask scrapes the exporter.
func ask(t *testing.T, e *lab.Exporter) said {
	t.Helper()
	m := e.Scrape(t)
	s := said{left: int64(m.Value(t, "oom_node_kill_margin_bytes")), kills: m.Value(t, "oom_node_kills_total")}
	const family = "oom_next_victim_badness_bytes"
	if !m.Has(family, "scope", "node") {
		return s
	}
	badness := m.Value(t, family, "scope", "node")
	pid := lab.Label(m.Find(family, "scope", "node")[0], "pid")
	s.victim, _ = strconv.Atoi(pid)
	first := true
	for _, p := range m.Find("oom_process_badness_bytes") {
		if lab.Label(p, "pid") == pid {
			continue
		}
		if lead := int64(badness-lab.Number(p)) / page; first || lead < s.lead {
			s.lead, first = lead, false
		}
	}
	if first {
		s.lead = int64(badness) / page
	}
	return s
}

// spares are there to be killed when all that was drawn is dead and the one
// that grows can't be: a kernel that finds nobody panics. Small ones would free
// too little to stop it.
const (
	spares    = 3
	spareSize = 16 * mib
)

// drawGlobal draws a case without limits, whose processes fit into what the
// node has left.
func (b *bench) drawGlobal(left int64) plan {
	for {
		p := drawPlan(b.rng, b.version, b.adjLow)
		p.level, p.marked = "node", ""
		for i := range p.parts {
			if p.parts[i].kind == "map" {
				p.parts[i].kind = "anon"
			}
		}
		p.limit = left - spares*spareSize
		p.drawSizes(b.rng)
		p.limit = lab.Unlimited
		if p.killable() {
			for range spares {
				p.parts = append(p.parts, part{group: "spare/pod0/c0", kind: "anon", adj: -999, size: spareSize})
			}
			return p
		}
	}
}

// fillCache reads a random part of the file again, most of which an OOM before
// has thrown out.
func fillCache(t *testing.T, name string, size int64, rng *rand.Rand) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, mib)
	for n := rng.Int64N(size / mib); n > 0; n-- {
		if _, err := f.Read(block); err != nil {
			t.Fatal(err)
		}
	}
}

// globalFile is where the guest's part of the table goes.
func globalFile() string { return filepath.Join(os.Getenv("OOM_E2E_EVIDENCE"), "global.md") }

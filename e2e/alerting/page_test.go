// SPDX-License-Identifier: Apache-2.0

//go:build e2e && pictures

package alerting

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// pageSources is the page that draws a dashboard with Grafana's components.
const pageSources = "testdata/grafana"

// boardReport is what the page says of a dashboard that it has drawn.
type boardReport struct {
	Errors []string
	Panels []panelReport
}

type panelReport struct {
	Title, Type, Error string
	Empty              bool
	Columns            []string // of a table.
	Rows               int
	Unsorted           int // rows that lack what the table is sorted by.
	Series             []seriesReport
	Links              []string // of a table's first row.
	Cut                []string // what does not fit.
}

type seriesReport struct {
	Name, Color string
	Value       float64
}

// bundle makes the page, with packages that are kept between runs, and returns
// the directory that it is in.
func bundle(t *testing.T) string {
	t.Helper()
	lock, err := os.ReadFile(filepath.Join(pageSources, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(lab.CacheDir(t), fmt.Sprintf("grafana-%.6x", sha256.Sum256(lock)))
	if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(pageSources)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(pageSources, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, e.Name()), string(text))
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil { // which npm writes last.
		run(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	}
	run(t, dir, "node", "build.mjs", "out")
	return filepath.Join(dir, "out")
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// index loads the page.
const index = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css"><div id="root"></div><script type="module" src="/page.js"></script>`

// picturePage serves the page, the dashboards and Prometheus at one address.
type picturePage struct {
	*httptest.Server
	reports chan boardReport
	now     time.Time
}

func (s *stack) servePage(t *testing.T, dir string) *picturePage {
	t.Helper()
	p := &picturePage{reports: make(chan boardReport, 1), now: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(index)) })
	mux.Handle("GET /", http.FileServer(http.Dir(dir)))
	mux.Handle("GET /dashboards/", http.FileServer(http.Dir(lab.Repository(t))))
	mux.Handle("GET /api/", httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: string(s.prometheus)}))
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var report boardReport
		if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
			t.Errorf("the page's report: %v", err)
		}
		p.reports <- report
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// draw has Chromium draw a dashboard into a picture.
func (p *picturePage) draw(t *testing.T, board string, values url.Values, picture string) boardReport {
	t.Helper()
	values.Set("board", "oom-exporter-"+board)
	values.Set("theme", "light")
	values.Set("from", strconv.FormatInt(p.now.Add(-span).UnixMilli(), 10))
	values.Set("to", strconv.FormatInt(p.now.UnixMilli(), 10))
	height := boardHeight(t, filepath.Join(lab.Repository(t), "dashboards", "oom-exporter-"+board+".json"))
	// Time goes on in the page only while it waits for nothing else, so that the
	// picture comes after the last answer, however slow the machine is.
	lab.Command(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--user-data-dir="+t.TempDir(),
		fmt.Sprintf("--window-size=1440,%d", height), "--virtual-time-budget=20000", "--screenshot="+picture, p.URL+"/?"+values.Encode())
	select {
	case report := <-p.reports:
		return report
	case <-time.After(time.Minute):
		t.Fatalf("%s was not drawn", board)
		return boardReport{}
	}
}

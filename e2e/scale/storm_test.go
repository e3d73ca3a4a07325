// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package scale

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestScrapeStorm has 50 clients scrape at once: they share passes over the
// host. That a pass is the same one shows by how long it took.
func TestScrapeStorm(t *testing.T) {
	const clients = 50
	load(t, size{groups: 100, processes: 1000})
	x := ourselves(t, "--web.max-requests=0")
	x.scraped(t)
	_, one := x.scraped(t)
	before := cpu(t, x.p.PID)
	passes := map[float64]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for range clients {
		wg.Go(func() {
			<-begin
			a, err := scrape(x.url)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			passes[lab.ParseMetrics(t, string(a.text)).Value(t, "oom_scrape_collector_duration_seconds", "collector", "container")]++
		})
	}
	close(begin)
	wg.Wait()
	t.Logf("%d clients were served by %d passes %v, with %v of CPU; one client costs %v", clients, len(passes), passes, cpu(t, x.p.PID)-before, one)
	// Those who come when a pass has just ended begin another.
	if len(passes) > clients/5 {
		t.Errorf("%d passes for %d clients", len(passes), clients)
	}
}

// TestSlowScrapers has clients that ask and do not read: others are served as
// ever.
func TestSlowScrapers(t *testing.T) {
	load(t, size{groups: 100, processes: 1000})
	x := ourselves(t)
	address := strings.TrimSuffix(strings.TrimPrefix(x.url, "http://"), "/metrics")
	for range 20 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(1)
		fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", address)
	}
	begun := time.Now()
	var last float64
	for range 3 {
		a, err := scrape(x.url)
		if err != nil {
			t.Fatal(err)
		}
		took := lab.ParseMetrics(t, string(a.text)).Value(t, "oom_scrape_collector_duration_seconds", "collector", "container")
		if took == last {
			t.Error("the pass of an earlier scrape is served again")
		}
		last = took
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("three scrapes beside slow clients took %v", took)
	}
}

// TestTimeoutHeader names a timeout that is over at once: it is raised to what a
// pass needs at least. Where even that is too short, what can't be read in it is
// left out, and said to be; where nothing can be read, the scrape fails.
func TestTimeoutHeader(t *testing.T) {
	load(t, size{groups: 100, processes: 1000})
	x := ourselves(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "0.000001")
	begun := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusServiceUnavailable {
		return
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s after %v", res.Status, time.Since(begun))
	}
	body := string(content)
	if whole := strings.Contains(body, "\noom_container_memory_usage_bytes{"); whole != strings.Contains(body, `oom_scrape_collector_success{collector="container"} 1`) {
		t.Errorf("containers are there: %v, but the collector says otherwise", whole)
	}
	for _, want := range []string{`oom_scrape_collector_success{collector="container"}`, `oom_scrape_collector_success{collector="node"}`, "\noom_node_memory_capacity_bytes "} {
		if !strings.Contains(body, want) {
			t.Errorf("a late scrape lacks %q:\n%s", want, body[:min(len(body), 3000)])
		}
	}
}

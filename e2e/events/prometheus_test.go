// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// prometheus is a real one that scrapes each second.
type prometheus struct {
	*lab.Process
	url string
}

const prometheusConfig = `
global: {scrape_interval: %[2]v, scrape_timeout: %[2]v}
scrape_configs: [{job_name: oom, static_configs: [{targets: ["127.0.0.1:%[1]d"]}]}]
`

func startPrometheus(t *testing.T, target int, every time.Duration) *prometheus {
	t.Helper()
	lab.Need(t, "prometheus")
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, target, every), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t))
	p := &prometheus{url: "http://" + address, Process: lab.Start(t, exec.Command("prometheus", "--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address))}
	lab.Eventually(t, time.Minute, "Prometheus listens", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

// sample is a value at a time in milliseconds.
type sample struct {
	at    int64
	value float64
}

func (s *sample) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	var at float64
	var value string
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &at); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[1], &value); err != nil {
		return err
	}
	s.at = int64(math.Round(at * 1e3))
	var err error
	s.value, err = strconv.ParseFloat(value, 64)
	return err
}

// query returns the series of a query at a time: their samples for a range.
func (p *prometheus) query(t *testing.T, text string, at int64) [][]sample {
	t.Helper()
	q := url.Values{"query": {text}, "time": {strconv.FormatFloat(float64(at)/1e3, 'f', 3, 64)}}
	var answer struct {
		Data struct {
			Result []struct {
				Value  *sample
				Values []sample
			}
		}
	}
	if err := json.Unmarshal([]byte(lab.Get(t, p.url+"/api/v1/query?"+q.Encode())), &answer); err != nil {
		t.Fatal(err)
	}
	var all [][]sample
	for _, r := range answer.Data.Result {
		if r.Value != nil {
			r.Values = []sample{*r.Value}
		}
		all = append(all, r.Values)
	}
	return all
}

// value returns the sum of a query's series.
func (p *prometheus) value(t *testing.T, text string, at int64) (sum float64) {
	t.Helper()
	for _, s := range p.query(t, text, at) {
		sum += s[len(s)-1].value
	}
	return sum
}

// history returns all samples of a family up to now, added up over its series,
// by time.
func (p *prometheus) history(t *testing.T, family string) map[int64]float64 {
	t.Helper()
	sums := map[int64]float64{}
	for _, s := range p.query(t, family+"[1h]", time.Now().UnixMilli()) {
		for _, v := range s {
			sums[v.at] += v.value
		}
	}
	return sums
}

// since returns how often oom_kills_total was reset since a time, by how much it
// increased from the last scrape before that time to the last one of all, and
// by how much the kernel's own count says that it should have.
func (p *prometheus) since(t *testing.T, begin time.Time) (resets, increase, truth float64) {
	t.Helper()
	vmstat := p.history(t, "oom_node_kills_total")
	for _, family := range []string{"oom_pending_kills", "oom_kill_duplicates_total"} {
		for at, n := range p.history(t, family) {
			vmstat[at] -= n
		}
	}
	var first, last int64
	for at := range vmstat {
		if at <= begin.UnixMilli() {
			first = max(first, at)
		}
		last = max(last, at)
	}
	over := fmt.Sprintf("[%dms]", last-first+1) // nothing is extrapolated then.
	return p.value(t, "sum(resets(oom_kills_total"+over+"))", last),
		math.Round(p.value(t, "sum(increase(oom_kills_total"+over+"))", last)), vmstat[last] - vmstat[first]
}

// awaitScrape waits until a scrape after the time has succeeded.
func (p *prometheus) awaitScrape(t *testing.T, after time.Time) {
	t.Helper()
	lab.Eventually(t, time.Minute, "a scrape by Prometheus", func() bool {
		for at := range p.history(t, "oom_node_kills_total") {
			if at > after.UnixMilli() {
				return true
			}
		}
		return false
	})
}

// seen is what Prometheus knows of all the runs.
type seen struct {
	running      float64 // kills from the start of each run to its end.
	least, most  float64 // published kills in the last scrape of each run, by vmstat.
	increase     float64 // of oom_kills_total.
	containers   float64 // the same by container.
	unattributed float64
}

func (p *prometheus) seen(t *testing.T, lives []life) (s seen) {
	t.Helper()
	vmstat := p.history(t, "oom_node_kills_total")
	open := p.history(t, "oom_pending_kills")
	for at, n := range p.history(t, "oom_kill_duplicates_total") {
		open[at] += n
	}
	var begin, end int64
	for _, l := range lives {
		s.running += l.killed - l.before
		var first, last int64
		for at := range vmstat {
			if at < l.ready.UnixMilli() || at > l.ended.UnixMilli() {
				continue
			}
			if first == 0 || at < first {
				first = at
			}
			last = max(last, at)
		}
		if begin == 0 {
			begin = first
		}
		end = last
		s.least += vmstat[last] - vmstat[first] - open[last]
		s.most += vmstat[last] - l.before - open[last]
	}
	// From the first sample to the last one: nothing is extrapolated then.
	over := fmt.Sprintf("[%dms]", end-begin+1)
	round := func(family string) float64 {
		v := p.value(t, "sum(increase("+family+over+"))", end)
		whole := math.Round(v)
		if math.Abs(v-whole) > 0.05 {
			t.Errorf("increase of %s is %v, not a whole number", family, v)
		}
		return whole
	}
	s.increase = round("oom_kills_total")
	s.containers = round(`oom_container_kills_total`)
	s.unattributed = round("oom_unattributed_kills_total")
	return s
}

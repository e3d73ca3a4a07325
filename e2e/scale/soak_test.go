// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package scale

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// sample is the exporter at one moment of a soak.
type sample struct {
	rss                             uint64
	descriptors, goroutines, series int
}

// TestSoak scrapes under churn: pods and processes come and go, and some are
// killed. It lasts two minutes at a small size, or OOM_E2E_SOAK at the largest.
func TestSoak(t *testing.T) {
	lasts, s, every := 2*time.Minute, size{groups: 100, processes: 1000}, time.Second
	if text := os.Getenv("OOM_E2E_SOAK"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		s, every = size{groups: 1000, processes: 10000}, 5*time.Second
	}
	pods := load(t, s)
	x := ourselves(t)
	before := kills(t)
	var samples []sample
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for begun, round := time.Now(), 0; time.Since(begun) < lasts; round++ {
		for range 5 {
			pods.ask(t, "churn")
			pods.ask(t, "spawn")
		}
		if round%3 == 0 {
			pods.ask(t, "kill")
		}
		samples = append(samples, x.sample(t))
		<-ticker.C
	}
	killed := kills(t) - before
	early, late := average(samples[len(samples)/4:len(samples)/2]), average(samples[3*len(samples)/4:])
	line := fmt.Sprintf("%s at %s, %d scrapes, %d pods replaced, %d kills on the machine: RSS %.1f then %.1f MiB, descriptors %d then %d, goroutines %d then %d, series %d then %d (second and last quarter)",
		lasts, s, len(samples), 5*len(samples), killed, mib(early.rss), mib(late.rss), early.descriptors, late.descriptors,
		early.goroutines, late.goroutines, early.series, late.series)
	t.Log(line)
	if killed == 0 {
		t.Error("nobody was killed")
	}
	if early.series < s.groups {
		t.Errorf("%d series of %d pods", early.series, s.groups)
	}
	if float64(late.rss) > 1.1*float64(early.rss)+(2<<20) || late.descriptors > early.descriptors+5 ||
		late.goroutines > early.goroutines+5 || float64(late.series) > 1.05*float64(early.series)+20 {
		t.Errorf("not flat: %+v, then %+v", early, late)
	}
	if os.Getenv("OOM_E2E_SOAK") != "" {
		name := filepath.Join(lab.Repository(t), "docs", "evidence", "soak.md")
		if err := os.WriteFile(name, []byte("<!-- Written by make soak. -->\n# Soak\n\n"+line+".\n"), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// sample scrapes. Series count where they are of the load's pods, and not of
// kills: others on the machine may have theirs.
func (x *target) sample(t testing.TB) sample {
	t.Helper()
	a, err := scrape(x.url)
	if err != nil {
		t.Fatal(err)
	}
	m := lab.ParseMetrics(t, string(a.text))
	s := sample{rss: x.p.Status(t)["VmRSS"], descriptors: x.descriptors(t), goroutines: int(m.Value(t, "go_goroutines"))}
	for _, family := range m {
		for _, metric := range family.GetMetric() {
			if strings.Contains(lab.Label(metric, "pod"), "-0000-4000-8000-") {
				s.series++
			}
		}
	}
	return s
}

func average(samples []sample) (a sample) {
	for _, s := range samples {
		a.rss, a.descriptors, a.goroutines, a.series = a.rss+s.rss, a.descriptors+s.descriptors, a.goroutines+s.goroutines, a.series+s.series
	}
	n := max(1, len(samples))
	return sample{a.rss / uint64(n), a.descriptors / n, a.goroutines / n, a.series / n}
}

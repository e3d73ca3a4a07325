// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package containers_test runs containers with real runtimes on this host and
// looks whether their memory and their kills come under their names.
//
// With OOM_E2E_EVIDENCE set to a directory, the table is written there.
package containers_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	mib   = 1 << 20
	limit = 64 * mib
	// late is how long an exporter may take to publish a kill: it may wait 10 s
	// and two scans for evidence.
	late = 30 * time.Second
)

// engine runs containers of the hog image with the memory limit.
type engine struct {
	name, version string
	runtime       string // label of oom_container_info.
	// labels are the container's, if it is called so.
	labels func(name string) []string
	// start runs a container until remove.
	start  func(t *testing.T, name string, steps ...string)
	remove func(t *testing.T, name string)
	// lose runs a container to its end and removes it at once.
	lose func(t *testing.T, name string, steps ...string)
	// cgroup is the memory group of a running container.
	cgroup func(t *testing.T, name string) string
}

// watcher is an exporter that finds names in its own way.
type watcher struct {
	names string
	*lab.Exporter
}

// check runs containers and compares what each exporter says of them with what
// the kernel says.
func (e engine) check(t *testing.T, watchers ...watcher) {
	t.Helper()
	log := lab.NewKernelLog(t)
	e.checkGauges(t, watchers)

	// A child dies, and PID 1 lives on.
	child := victim(e.name, "c")
	e.start(t, "e2e-child", "anon:4M", "fork:1", "comm:"+child, "anon:200M")
	e.expect(t, log, watchers, "e2e-child", child, 1)
	if n := groupKills(t, e.cgroup(t, "e2e-child")); n != 1 {
		t.Errorf("the group of the container counts %d kills, want 1", n)
	}

	gone := victim(e.name, "g")
	stop := keepScraping(watchers)
	for i := range times {
		e.lose(t, "e2e-gone", "sleep:1500", "comm:"+gone, "anon:200M")
		e.expect(t, log, watchers, "e2e-gone", gone, i+1)
	}
	stop()

	// The runtime forgets these some milliseconds after the kernel tells of
	// them: who looks their names up must be quick.
	instant := victim(e.name, "i")
	for range times {
		e.lose(t, "e2e-instant", "comm:"+instant, "anon:200M")
	}
	e.expect(t, log, watchers, "e2e-instant", instant, times)

	for _, w := range watchers {
		lab.Eventually(t, late, "a kill that PID 1 survived is told by names from "+w.names, func() bool {
			return w.Scrape(t).Sum("oom_container_survived_kills_total", e.labels("e2e-child")...) == 1
		})
		if told := strings.Count(w.Output(), " comm="+instant+" "); told != times {
			t.Errorf("%d kills of short-lived containers are told by names from %s, want %d", told, w.names, times)
		}
		// No kill may have come later, or twice.
		m := w.Scrape(t)
		for _, c := range []struct{ name, comm string }{{"child", child}, {"gone", gone}, {"instant", instant}} {
			record(e, w.names, c.name, int(m.Sum("oom_container_kills_total", e.labels("e2e-"+c.name)...)), log.Kills(t, c.comm))
		}
	}
	e.remove(t, "e2e-child")
}

// times is how often a container is killed that has the same name each time.
const times = 3

// keepScraping scrapes as often as a Prometheus may, until stop.
func keepScraping(watchers []watcher) (stop func()) {
	tick, done, ended := time.NewTicker(time.Second), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				for _, w := range watchers {
					_, _ = lab.GetBy(http.DefaultClient, w.URL+"/metrics") // the test itself looks later.
				}
			}
		}
	}()
	return func() {
		tick.Stop()
		close(done)
		<-ended
	}
}

// checkGauges looks at a container that holds 20 MiB in peace.
func (e engine) checkGauges(t *testing.T, watchers []watcher) {
	t.Helper()
	e.start(t, "e2e-calm", "anon:20M", "say:holding")
	labels := e.labels("e2e-calm")
	for _, w := range watchers {
		var m lab.Metrics
		lab.Eventually(t, late, "20 MiB are seen by names from "+w.names, func() bool {
			m = w.Scrape(t)
			return m.Sum("oom_container_memory_anon_bytes", labels...) >= 20*mib
		})
		if got := m.Value(t, "oom_container_memory_usage_bytes", labels...); got < 20*mib || got > 40*mib {
			t.Errorf("usage by names from %s is %.0f, want a little more than 20 MiB", w.names, got)
		}
		if got := m.Value(t, "oom_container_memory_limit_bytes", labels...); got != limit {
			t.Errorf("limit by names from %s is %.0f, want %d", w.names, got, limit)
		}
		if got := m.Value(t, "oom_container_kills_total", labels...); got != 0 {
			t.Errorf("kills by names from %s are %.0f, want 0", w.names, got)
		}
		if e.runtime != "" && !m.Has("oom_container_info", append(labels, "runtime", e.runtime)...) {
			t.Errorf("by names from %s the runtime is not %s: %v", w.names, e.runtime, m.Find("oom_container_info", labels...))
		}
	}
	e.remove(t, "e2e-calm")
}

// expect waits until the kernel has killed so many processes of that name, and
// then until each exporter says so of the container.
func (e engine) expect(t *testing.T, log *lab.KernelLog, watchers []watcher, name, comm string, want int) {
	t.Helper()
	lab.Eventually(t, late, "the kernel kills "+comm, func() bool { return log.Kills(t, comm) >= want })
	labels := e.labels(name)
	for _, w := range watchers {
		lab.Eventually(t, late, fmt.Sprintf("kill %d of %s is counted by names from %s", want, name, w.names), func() bool {
			return w.Scrape(t).Sum("oom_container_kills_total", labels...) >= float64(want)
		})
		if got := w.Scrape(t).Value(t, "oom_container_kills_total", labels...); int(got) != want {
			t.Errorf("%s has %.0f kills by names from %s, the kernel killed %d", name, got, w.names, want)
		}
	}
}

// victim is a process name that no other test uses: the kernel's log tells it.
func victim(engine, what string) string {
	tag := strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, strings.ToLower(engine))
	return fmt.Sprintf("%.5s-%s%d", tag, what, os.Getpid()%1e6)
}

// groupKills is the kernel's own count of the group.
func groupKills(t *testing.T, group string) uint64 {
	t.Helper()
	h := lab.MemoryHierarchy(t)
	g := lab.Group{Hierarchy: h, Path: group}
	if h.Version == 2 {
		return g.Keys(t, "memory.events")["oom_kill"]
	}
	return g.Keys(t, "memory.oom_control")["oom_kill"]
}

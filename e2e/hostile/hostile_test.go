// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package hostile_test attacks an exporter as a tenant of its node and as a client
// on its network, all at once, while a Prometheus scrapes it.
//
// The environment tunes a run:
//
//	OOM_E2E_FULL      half an hour, and attacks of the size that CI has no time for.
//	OOM_E2E_TIME      how long instead, such as 90s: at most 50m.
//	OOM_E2E_EVIDENCE  directory to write the table to.
package hostile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	mib = 1 << 20
	// moreRSS is by how much all attacks together may raise the exporter's peak.
	moreRSS = 64 * mib
	tenants = 100 // honest containers.
	killed  = 20  // of them, in which processes are killed.
	every   = 5 * time.Second
	// slowClients are the connections that ask and do not read, at any time.
	slowClients = 20
)

func TestMain(m *testing.M) {
	if options := os.Getenv(forgeEnv); options != "" {
		forge(options)
	}
	os.Exit(m.Run())
}

// size is how large the attacks are.
type size struct {
	lasts, restart time.Duration
	groups         int // --limits.groups.
	bomb, rows     int // cgroups inside a container, workloads of a user.
	kills          int // a second.
}

func sizes(t *testing.T) size {
	t.Helper()
	s := size{lasts: 25 * time.Second, restart: 12 * time.Second, groups: 2000, bomb: 2500, rows: 1500, kills: 10}
	if os.Getenv("OOM_E2E_FULL") != "" {
		// Each 1,000 cgroups that may be read cost 9 MiB: 5,000 are what the bound on
		// the memory has room for.
		s = size{lasts: 30 * time.Minute, restart: time.Minute, groups: 5000, bomb: 11_000, rows: 9500, kills: 50}
	}
	if text := os.Getenv("OOM_E2E_TIME"); text != "" {
		var err error
		s.lasts, err = time.ParseDuration(text)
		must(t, err)
		// Queries look back an hour.
		if s.lasts <= 0 || s.lasts > 50*time.Minute {
			t.Fatalf("OOM_E2E_TIME=%s is not above 0 and up to 50m", text)
		}
		s.restart = min(s.restart, s.lasts/2)
	}
	return s
}

// stage is the node, its tenants and what watches it.
type stage struct {
	size
	lab.Hierarchy
	root       string // of all cgroups of the test.
	containers []*lab.Group
	exporter   *lab.Exporter
	port       int
	public     string // a directory of the user nobody.
	state      string
	restarts   []window // in which a scrape may fail.
	calm, peak uint64   // the exporter's peak RSS before the attacks, and in them.
}

// window is a span of time.
type window struct{ from, to time.Time }

func TestHostile(t *testing.T) {
	lab.Root(t)
	lab.QuietConsole(t)
	s := newStage(t)
	s.start(t)
	p := startPrometheus(t, s.port)
	for range 3 {
		s.exporter.Scrape(t)
	}
	s.calm = s.exporter.Status(t)["VmHWM"]
	before := s.exporter.Scrape(t)
	p.awaitScrape(t, time.Now())
	begin := time.Now()

	makeBomb(t, s.Hierarchy, s.container(-1), "b", s.bomb)
	makeBomb(t, s.Hierarchy, s.root+"/user.slice/user-1000.slice/user@1000.service/app.slice", "lxc.payload."+strings.Repeat("x", 180), s.rows)
	forger := startForger(t, s.public, s.containers[tenants-1].Path)
	slow := startSlowClients(t, s.port, slowClients)
	storm := lab.StartStorm(t, s.Hierarchy, mib, s.plan())
	for next := begin.Add(s.restart); time.Since(begin) < s.lasts; next = next.Add(s.restart) {
		s.watch(t, min(time.Until(next), time.Until(begin.Add(s.lasts))))
		if time.Since(begin) < s.lasts {
			s.crash(t)
		}
	}
	deaths, _ := storm.Deaths(t)
	if forger.Ended() {
		t.Errorf("the forger gave up: %s", forger.Output())
	}
	lab.Eventually(t, time.Minute, "no kill waits for evidence", func() bool { return s.exporter.Scrape(t).Sum("oom_pending_kills") == 0 })
	p.awaitScrape(t, time.Now())
	m := s.exporter.Scrape(t)
	s.watch(t, 0)
	if slow.stalled.Load() < slowClients {
		t.Errorf("%d connections have stalled, want at least %d", slow.stalled.Load(), slowClients)
	}
	s.checkContainers(t, m)
	s.checkComplete(t, p, begin)
	checkBalance(t, before, m)
	exact := s.checkKills(t, before, m, deaths)
	failed, scrapes := s.checkScrapes(t, p, begin)
	s.checkBounds(t, m)
	s.evidence(t, m, exact, len(deaths), failed, scrapes)
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{size: sizes(t), Hierarchy: lab.MemoryHierarchy(t), root: fmt.Sprintf("/oom-e2e-%d/hostile", os.Getpid()), port: lab.LastingPort(t)}
	s.public = lab.PrivateRoot(t)
	must(t, os.Chown(s.public, nobody, nobody))
	s.state = filepath.Join(s.public, "state.json")
	for i := -1; i < tenants; i++ {
		limit := int64(mib)
		switch {
		case i < 0:
			limit = 1 << 30 // its cgroups take some 10 KiB each, which it pays for.
		case i >= killed:
			limit = 64 * mib
		}
		g := lab.NewGroup(t, s.container(i), limit)
		if i >= 0 {
			s.containers = append(s.containers, g)
		}
	}
	lab.NewGroup(t, s.brief(), lab.Unlimited)
	lab.NewGroup(t, s.root+"/user.slice/user-1000.slice/user@1000.service/app.slice", lab.Unlimited)
	return s
}

// podUID is that of a container's pod; -1 is the attacker's, which sorts first.
// No other test on the machine may have the same: only one could have the name.
func podUID(i int) string { return fmt.Sprintf("%08x-e2e2-4000-8000-%012x", i+1, os.Getpid()) }

func containerID(i int) string { return fmt.Sprintf("%08x%056x", i+1, os.Getpid()) }

func (s *stage) container(i int) string {
	return fmt.Sprintf("%s/kubepods/burstable/pod%s/%s", s.root, podUID(i), containerID(i))
}

// brief is the pod whose containers are gone at once.
func (s *stage) brief() string {
	return fmt.Sprintf("%s/kubepods/besteffort/pod%s", s.root, podUID(1000))
}

// start starts the exporter as in an unprivileged container: as nobody, and with
// the kernel's log by syslog(2) only.
func (s *stage) start(t *testing.T) {
	t.Helper()
	s.exporter = lab.StartSyslogOnly(t, s.port, "--state.file="+s.state, fmt.Sprintf("--limits.groups=%d", s.groups))
}

// crash kills the exporter and starts it again.
func (s *stage) crash(t *testing.T) {
	t.Helper()
	if s.exporter.Ended() {
		t.Fatalf("the exporter ended by itself; it printed:\n%s", s.exporter.Output())
	}
	w := window{from: time.Now()}
	s.exporter.Signal(t, syscall.SIGKILL)
	s.exporter.Wait(t, time.Minute)
	s.start(t)
	s.exporter.Scrape(t)
	w.to = time.Now()
	s.restarts = append(s.restarts, w)
}

// watch notes the exporter's peak for some time.
func (s *stage) watch(t *testing.T, d time.Duration) {
	t.Helper()
	over := time.After(max(d, 0))
	for {
		s.peak = max(s.peak, s.exporter.Status(t)["VmHWM"])
		select {
		case <-over:
			return
		case <-time.After(time.Second):
		}
	}
}

// plan is the storm: most in containers that stay, every fifth in one that is
// removed at once, whose kill somebody else might be given.
func (s *stage) plan() (plan []lab.Death) {
	total := int(s.lasts.Seconds()) * s.kills * 4 / 5
	for i := range total {
		d := lab.Death{At: time.Duration(i) * time.Second / time.Duration(s.kills), Life: lab.Lasting, Comm: fmt.Sprintf("k%d", i), Path: s.containers[i%killed].Path}
		if i%5 == 4 {
			d.Life, d.Path = 0, fmt.Sprintf("%s/%s", s.brief(), containerID(100_000+i))
		}
		plan = append(plan, d)
	}
	return plan
}

// checkContainers checks that no honest container lacks its series.
func (s *stage) checkContainers(t *testing.T, m lab.Metrics) {
	t.Helper()
	for i := range tenants {
		if !m.Has("oom_container_memory_usage_bytes", labels(i)...) || !m.Has("oom_container_kills_total", labels(i)...) {
			t.Errorf("container %d has no series", i)
		}
	}
}

func labels(i int) []string {
	return []string{"pod", podUID(i), "container", containerID(i)[:12]}
}

// checkKills checks the kills of each honest container, and that nothing of what
// was forged is anywhere. It returns how many containers are exact.
func (s *stage) checkKills(t *testing.T, before, m lab.Metrics, deaths []lab.Death) (exact int) {
	t.Helper()
	want := map[string]float64{}
	for _, d := range deaths {
		want[d.Path]++
	}
	for i, g := range s.containers {
		got := m.Sum("oom_container_kills_total", labels(i)...) - before.Sum("oom_container_kills_total", labels(i)...)
		if got != want[g.Path] {
			t.Errorf("container %d: %v kills, want %v", i, got, want[g.Path])
			continue
		}
		exact++
	}
	for _, page := range []string{"/api/v1/kills", "/metrics"} {
		if strings.Contains(lab.Get(t, s.exporter.URL+page), forgedComm) {
			t.Errorf("a forged kill is in %s", page)
		}
	}
	return exact
}

// checkScrapes checks that no scrape failed but in a restart, and that no counter
// of kills fell.
func (s *stage) checkScrapes(t *testing.T, p *prometheus, begin time.Time) (failed, scrapes int) {
	t.Helper()
	for at, up := range p.history(t, "up") {
		when := time.UnixMilli(at)
		if when.Before(begin) {
			continue
		}
		if scrapes++; up == 1 {
			continue
		}
		failed++
		if !s.inRestart(when) {
			t.Errorf("the scrape at %v failed", when)
		}
	}
	if scrapes == 0 {
		t.Error("no scrape")
	}
	for _, family := range []string{"oom_kills_total", "oom_container_kills_total", "oom_evicted_kills_total", "oom_unattributed_kills_total"} {
		if n := p.value(t, "sum(resets("+family+"[1h]))"); n != 0 {
			t.Errorf("%s fell %v times", family, n)
		}
	}
	return failed, scrapes
}

// inRestart tells whether a scrape that began then may have met no exporter.
func (s *stage) inRestart(when time.Time) bool {
	return slices.ContainsFunc(s.restarts, func(w window) bool {
		return when.After(w.from.Add(-every)) && when.Before(w.to)
	})
}

// checkComplete checks that every scrape that succeeded had every honest
// container.
func (s *stage) checkComplete(t *testing.T, p *prometheus, begin time.Time) {
	t.Helper()
	have := map[string]map[int64]float64{}
	for _, one := range p.ranges(t, `oom_container_memory_usage_bytes{pod=~".*`+podUID(0)[8:]+`"}`) {
		have[one.Metric["pod"]] = one.samples(t)
	}
	for at, up := range p.history(t, "up") {
		when := time.UnixMilli(at)
		if up != 1 || when.Before(begin) {
			continue
		}
		missing := 0
		for i := range tenants {
			if _, ok := have[podUID(i)][at]; !ok {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("the scrape at %v lacks %d of %d containers", when, missing, tenants)
		}
	}
}

// checkBalance checks that every kill of the node is somewhere in the books, over
// all restarts.
func checkBalance(t *testing.T, before, m lab.Metrics) {
	t.Helper()
	step := func(family string) float64 { return m.Sum(family) - before.Sum(family) }
	node, levels := step("oom_node_kills_total"), step("oom_kills_total")
	workloads := step("oom_container_kills_total") + step("oom_evicted_kills_total")
	unattributed, rest := step("oom_unattributed_kills_total"), step("oom_pending_kills")+step("oom_kill_duplicates_total")
	if node == 0 || workloads+unattributed+rest != node || workloads+unattributed != levels {
		t.Errorf("the node had %v kills; %v by level, %v of workloads, %v unattributed, %v pending or duplicates", node, levels, workloads, unattributed, rest)
	}
}

func (s *stage) checkBounds(t *testing.T, m lab.Metrics) {
	t.Helper()
	if s.peak > s.calm+moreRSS {
		t.Errorf("peak RSS is %d MiB, %d MiB without attacks", s.peak/mib, s.calm/mib)
	}
	for _, kind := range []string{"group_over_limit", "workload_folded"} {
		if m.Sum("oom_exporter_skipped_total", "kind", kind) == 0 {
			t.Errorf("nothing is counted as %s", kind)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

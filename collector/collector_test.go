// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fakeHost is a host made of literals.
type fakeHost struct {
	node      *oom.NodeState
	groups    *oom.Groups
	processes *oom.Processes
	skipped   oom.Skipped
	err       map[string]error
	panics    string
	totals    oom.KillTotals
	asked     map[string]int
}

func (f *fakeHost) Scrape(time.Time) Scrape    { return f }
func (f *fakeHost) Close()                     {}
func (f *fakeHost) Skipped() oom.Skipped       { return f.skipped }
func (f *fakeHost) KillTotals() oom.KillTotals { return f.totals }

func (f *fakeHost) part(name string) error {
	if f.asked == nil {
		f.asked = map[string]int{}
	}
	f.asked[name]++
	if f.panics == name {
		_ = name[len(name)] // a defect such as nobody thought of.
	}
	return f.err[name]
}

func (f *fakeHost) Node() (*oom.NodeState, error) {
	if err := f.part("node"); err != nil {
		return nil, err
	}
	return f.node, nil
}

func (f *fakeHost) Groups() (*oom.Groups, error) {
	if err := f.part("groups"); err != nil {
		return nil, err
	}
	return f.groups, nil
}

func (f *fakeHost) Processes() (*oom.Processes, error) {
	if err := f.part("processes"); err != nil {
		return nil, err
	}
	return f.processes, nil
}

const mib = 1 << 20

// web is a Kubernetes container with everything that a v2 kernel tells.
func web() oom.Row {
	return oom.Row{
		Group: &oom.Group{
			GroupID:  oom.GroupID{Path: "/kubepods/burstable/pod1/c1", Inode: 7},
			Kind:     oom.KindContainer,
			Identity: oom.Identity{Workload: oom.Workload{Namespace: "shop", Pod: "web-0", Container: "app"}, Runtime: "containerd", QoS: oom.QoSBurstable, Image: "shop/web:1"},
			Usage:    oom.Of(60 * mib), Limit: oom.Of(64 * mib), High: oom.Of(62 * mib), Peak: oom.Of(63 * mib), SwapUsage: oom.Of(mib),
			Stat: oom.Stat{
				Anon: oom.Of(40 * mib), File: oom.Of(15 * mib), Shmem: oom.Of(5 * mib), Kernel: oom.Of(3 * mib),
				ActiveFile: oom.Of(4 * mib), InactiveFile: oom.Of(6 * mib), SlabReclaimable: oom.Of(mib), Unevictable: oom.Of(2 * mib),
			},
			Pressure:  oom.Pressure{WaitingMicros: oom.Of(1_500_000), StalledMicros: oom.Of(250_000)},
			StartTime: oom.Of(1_700_000_000),
		},
		MaxHits: oom.Of(12), HighHits: oom.Of(3), Unreclaimable: oom.Of(49 * mib),
		Margin:    oom.Margin{Bytes: 15 * mib, Ratio: 0.234375, Level: oom.LevelContainer, Known: true},
		Processes: oom.ProcessSummary{Known: true, Count: 3, ScoreMax: oom.Of(1266), Adj: true, AdjMax: 900, Mismatch: oom.Of(0)},
	}
}

// bare is a container of which the kernel tells little: no limit, no PSI, no
// processes in this pid namespace.
func bare() oom.Row {
	return oom.Row{Group: &oom.Group{
		GroupID: oom.GroupID{Path: "/odd"}, Kind: oom.KindContainer,
		Identity: oom.Identity{Workload: oom.Workload{Container: "/odd"}},
		Usage:    oom.Of(mib), Limit: oom.Unlimited(),
	}}
}

func fullHost() *fakeHost {
	pod := oom.Row{
		Group: &oom.Group{
			Kind: oom.KindPod, Identity: oom.Identity{Workload: oom.Workload{Namespace: "shop", Pod: "web-0"}},
			Usage: oom.Of(61 * mib), Limit: oom.Of(128 * mib), Stat: oom.Stat{InactiveFile: oom.Of(6 * mib)},
		},
		Unreclaimable: oom.Of(50 * mib), Margin: oom.Margin{Bytes: 78 * mib, Ratio: 0.609375, Level: oom.LevelPod, Known: true},
	}
	slice := pod
	slice.Group = &oom.Group{GroupID: oom.GroupID{Path: "/kubepods"}, Usage: oom.Of(500 * mib), Limit: oom.Of(1024 * mib), Stat: oom.Stat{InactiveFile: oom.Of(600 * mib)}}
	victim := oom.ProcessRow{
		Process:  oom.Process{PID: 42, Comm: "leak\n\"er\xff", Adj: 900, Score: oom.Of(1266), RSS: 40 * mib, Swap: mib, Exact: true},
		Workload: oom.Workload{Namespace: "shop", Pod: "web-0", Container: "app"}, Badness: 900 * mib,
	}
	return &fakeHost{
		node: &oom.NodeState{
			Node:   oom.Node{BootTime: time.Unix(1_690_000_000, 0), Total: oom.Of(1024 * mib), Available: oom.Of(300 * mib), OOMKills: oom.Of(5), PanicOnOOM: oom.Of(0), KillAllocatingTask: oom.Of(1), Overcommit: oom.Of(2)},
			Margin: oom.Margin{Bytes: 256 * mib, Ratio: 0.25, Level: oom.LevelNode, Known: true}, EvictionAvailable: oom.Of(90 * mib), EvictionThreshold: oom.Of(100 * mib),
		},
		groups: &oom.Groups{Containers: []oom.Row{web(), bare()}, Pods: []oom.Row{pod}, Slices: []oom.Row{slice}, Source: oom.ByCgroupfs},
		processes: &oom.Processes{
			Source: oom.ByProcfs,
			Top:    []oom.ProcessRow{victim}, Unkillable: oom.Of(7 * mib),
			Victims: []oom.NextVictim{{Scope: oom.LevelNode, Process: victim, Badness: 900 * mib}, {Scope: oom.LevelContainer, Cgroup: "/kubepods/burstable/pod1/c1"}},
		},
		skipped: oom.Skipped{VanishedGroups: 1, ProcessesOverBound: 2},
		totals: oom.KillTotals{
			Epoch: time.Unix(1_699_000_000, 0),
			Workloads: []oom.WorkloadKills{{Workload: oom.Workload{Namespace: "shop", Pod: "gone-1", Container: "app"}, Kills: 4, OOMs: 2, Survived: 1, LastKill: time.Unix(1_700_000_100, 0), Last: &oom.Kill{
				Level: oom.LevelPod, Limit: oom.Of(128 * mib),
				Victim: oom.Victim{Comm: "lea\xffk\n", AnonRSS: oom.Of(60 * mib), FileRSS: oom.Of(2 * mib), ShmemRSS: oom.Of(0)},
			}}},
			Pods: []oom.PodKills{{Namespace: "shop", Pod: "gone-1", LimitKills: 4}},
			Causes: []oom.CauseKills{
				{Workload: oom.Workload{Namespace: "shop", Pod: "gone-1", Container: "app"}, Cause: oom.CauseLeak, Grew: oom.MemoryAnon, Kills: 3, Last: true},
				{Workload: oom.Workload{Namespace: "shop", Pod: "gone-1", Container: "app"}, Cause: oom.CauseUnknown, Kills: 1},
			},
			ByLevel: map[oom.Level]uint64{oom.LevelPod: 4, oom.LevelNode: 1}, Pending: 1, Unattributed: 1, Evicted: 2, Duplicates: 1, RecordsLost: 9,
			LastKill: time.Unix(1_700_000_100, 0), TraceEventsLost: oom.Of(3), HasState: true, Unsaved: 250 * time.Millisecond, Sources: []oom.Source{{Name: "kmsg", Up: true}, {Name: "tracefs"}},
		},
	}
}

func (*fakeHost) Health() oom.RecorderHealth {
	return oom.RecorderHealth{
		Interval: 2 * time.Second, Cgroups: 1200, Fast: 3, Over: 4, Samples: 99_000, FullSamples: 800, Recordings: 7, RecordingsDropped: 1,
		HasFile: true, Unsaved: 500 * time.Millisecond,
	}
}

// exposition gathers and encodes as the web handler does, without the times
// that a collector took, and at one time.
func exposition(t *testing.T, s *Set, r Request) string {
	t.Helper()
	return encoded(t, s, r, expfmt.NewFormat(expfmt.TypeTextPlain))
}

func encoded(t *testing.T, s *Set, r Request, format expfmt.Format, options ...expfmt.EncoderOption) string {
	t.Helper()
	mfs, done, err := s.Gather(r)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, format, options...)
	for _, mf := range mfs {
		switch mf.GetName() {
		case "oom_scrape_collector_duration_seconds":
			continue
		case "oom_node_time_seconds":
			*mf.GetMetric()[0].GetGauge().Value = 1_700_000_200
		}
		if err := enc.Encode(mf); err != nil {
			t.Fatal(err)
		}
	}
	if c, ok := enc.(expfmt.Closer); ok {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", path, d)
	}
}

func TestGoldenExposition(t *testing.T) {
	h := fullHost()
	golden(t, "default.prom", exposition(t, New(h, Options{Kills: h, Recorder: h}), Request{}))
	all := New(h, Options{Kills: h, Recorder: h, Advice: someAdvice, Leaks: someLeaks, Enable: regexp.MustCompile(".*")})
	golden(t, "all.prom", exposition(t, all, Request{}))
}

// someLeaks is of one container that leaks.
func someLeaks() []oom.Leak {
	return []oom.Leak{{Workload: oom.Workload{Namespace: "shop", Pod: "web-0", Container: "app"}, In: 90 * time.Minute}}
}

// someAdvice is of a container that needs more, and of one that does not.
func someAdvice() []oom.Advice {
	return []oom.Advice{{Workload: oom.Workload{Namespace: "shop", Pod: "web-0", Container: "app"}, Advised: oom.Of(600 * mib)}, {Workload: oom.Workload{Container: "fits"}}}
}

func TestEveryFamilyHasASample(t *testing.T) {
	h := fullHost()
	row := &h.groups.Containers[0]
	row.KillDisabled, row.UnderOOM = oom.Of(1), oom.Of(1)
	text := exposition(t, New(h, Options{Kills: h, Recorder: h, Advice: someAdvice, Leaks: someLeaks, Enable: regexp.MustCompile(".*")}), Request{})
	for _, f := range allFamilies() {
		if f.name != "oom_scrape_collector_duration_seconds" && !strings.Contains(text, "# TYPE "+f.name+" ") {
			t.Errorf("no sample of %s", f.name)
		}
	}
}

func TestBudgetOfAContainer(t *testing.T) {
	h := fullHost()
	text := exposition(t, New(h, Options{Kills: h, Recorder: h}), Request{})
	n := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "oom_container_") && strings.Contains(line, `pod="web-0"`) {
			n++
		}
	}
	if n > 18 { // 17 and memory.high, which hardly anybody sets.
		t.Errorf("a container has %d series by default, want at most 18:\n%s", n, text)
	}
}

// TestZerosBeforeTheFirstKill wants what increase() needs to see a first kill.
func TestZerosBeforeTheFirstKill(t *testing.T) {
	h := fullHost()
	text := exposition(t, New(h, Options{Kills: h}), Request{})
	for _, family := range []string{"kills", "ooms", "survived_kills"} {
		if want := "oom_container_" + family + `_total{container="app",namespace="shop",pod="web-0"} 0`; !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	// Without a limit of its own only the kills begin at 0.
	if !strings.Contains(text, `oom_container_kills_total{container="/odd"`) || strings.Contains(text, `oom_container_ooms_total{container="/odd"`) {
		t.Error("a container without a limit has another choice of counters")
	}
}

func TestProfiles(t *testing.T) {
	h := fullHost()
	has := func(o Options) (working, anon, kernel bool) {
		o.Kills = h
		text := exposition(t, New(h, o), Request{})
		if !strings.Contains(text, "oom_container_kills_total") {
			t.Errorf("profile %q has no kills", o.Profile)
		}
		return strings.Contains(text, "oom_container_memory_working_set_bytes"), strings.Contains(text, "oom_container_memory_anon_bytes"), strings.Contains(text, "oom_container_memory_kernel_bytes")
	}
	for _, c := range []struct {
		o                     Options
		working, anon, kernel bool
	}{
		{Options{}, true, true, false},
		{Options{Profile: ProfileDefault}, true, true, false},
		{Options{Profile: ProfileMinimal}, false, false, false},
		{Options{Profile: ProfileFull}, true, true, true},
		{Options{Profile: ProfileMinimal, Enable: regexp.MustCompile("^oom_container_memory_anon_bytes$")}, false, true, false},
		{Options{Profile: ProfileFull, Disable: regexp.MustCompile("^oom_container_memory_anon_bytes$")}, true, false, true},
	} {
		if working, anon, kernel := has(c.o); working != c.working || anon != c.anon || kernel != c.kernel {
			t.Errorf("%+v: working set %v, anon %v, kernel %v", c.o, working, anon, kernel)
		}
	}
}

func TestInfoOfPodsAndContainers(t *testing.T) {
	for _, c := range []struct {
		runtime string
		qos     oom.QoS
		want    bool
	}{
		{"containerd", oom.QoSBurstable, true},
		{"", oom.QoSGuaranteed, true}, // kubelet's cgroupfs driver.
		{"docker", "", true},
		{"systemd", "", false},
		{"", "", false},
	} {
		h := fullHost()
		h.groups.Containers[0].Runtime, h.groups.Containers[0].QoS = c.runtime, c.qos
		want := fmt.Sprintf(`image="shop/web:1",namespace="shop",pod="web-0",qos=%q,runtime=%q} 1`, string(c.qos), c.runtime)
		if got := strings.Contains(exposition(t, New(h, Options{Kills: h, Recorder: h}), Request{}), want); got != c.want {
			t.Errorf("runtime %q, class %q: info is %v, want %v", c.runtime, c.qos, got, c.want)
		}
	}
}

// adapter adapts a Set to client_golang's registry, whose pedantic form checks
// what Prometheus would refuse.
type adapter struct {
	*Set
	t *testing.T
}

func (a adapter) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range a.table.families {
		if a.o.wants(&f) {
			ch <- prometheus.NewDesc(f.name, f.help, labelNames(f.labels), nil)
		}
	}
}

func (a adapter) Collect(ch chan<- prometheus.Metric) {
	mfs, done, err := a.Gather(Request{})
	if err != nil {
		a.t.Error(err)
	}
	defer done()
	descs := map[string]*prometheus.Desc{}
	for _, f := range a.table.families {
		descs[f.name] = prometheus.NewDesc(f.name, f.help, labelNames(f.labels), nil)
	}
	for _, mf := range mfs {
		for _, m := range mf.Metric {
			ch <- sampleMetric{descs[mf.GetName()], m}
		}
	}
}

type sampleMetric struct {
	desc *prometheus.Desc
	m    *dto.Metric
}

func (s sampleMetric) Desc() *prometheus.Desc { return s.desc }

func (s sampleMetric) Write(m *dto.Metric) error {
	m.Label, m.Gauge, m.Counter = s.m.Label, s.m.Gauge, s.m.Counter
	return nil
}

func pedantic(t *testing.T, s *Set) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(adapter{s, t})
	mfs, err := reg.Gather()
	if err != nil {
		t.Error(err)
	}
	problems, err := promlint.NewWithMetricFamilies(mfs).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestPedanticRegistryAndLint(t *testing.T) {
	h := fullHost()
	pedantic(t, New(h, Options{Kills: h, Recorder: h, Enable: regexp.MustCompile(".*")}))
}

// transactional is a Set as client_golang's handlers take it.
type transactional struct{ *Set }

func (s transactional) Gather() ([]*dto.MetricFamily, func(), error) { return s.Set.Gather(Request{}) }

// A handler of client_golang serves what Gather returns, and gives it back.
func TestServedByClientGolang(t *testing.T) {
	h := fullHost()
	h.skipped = oom.Skipped{} // which would add up.
	s := New(h, Options{Kills: h, Recorder: h, Now: begun})
	var want bytes.Buffer
	expose(t, s, &want, expfmt.TypeTextPlain)
	for range 2 {
		w := httptest.NewRecorder()
		promhttp.HandlerForTransactional(transactional{s}, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if d := cmp.Diff(want.String(), w.Body.String()); d != "" {
			t.Errorf("promhttp serves something else:\n%s", d)
		}
	}
	if len(s.pool) != 1 {
		t.Errorf("%d results are kept for the next scrape, want 1", len(s.pool))
	}
}

func TestEqualLabelsNeverFailAScrape(t *testing.T) {
	h := fullHost()
	twin := web()
	twin.Usage = oom.Of(1)
	odd := bare()
	odd.Workload.Container = "/bad\xff"
	odd2 := bare()
	odd2.Workload.Container = "/bad\xfe"
	long, long2 := bare(), bare()
	long.Workload.Container = strings.Repeat("ü", 4000)
	long2.Workload.Container = strings.Repeat("ü", 4001)
	h.groups.Containers = append(h.groups.Containers, twin, odd, odd2, long, long2)
	h.groups.Slices = append(h.groups.Slices, h.groups.Slices[0])
	h.processes.Victims = append(h.processes.Victims, h.processes.Victims...)
	h.totals.Workloads = append(h.totals.Workloads, h.totals.Workloads...)
	s := New(h, Options{Kills: h, Recorder: h, Enable: regexp.MustCompile(".*")})
	pedantic(t, s)
	text := exposition(t, s, Request{})
	for _, want := range []string{
		`oom_container_memory_usage_bytes{container="app",namespace="shop",pod="web-0"} 1` + "\n",
		`oom_container_limit_hits_total{container="app",namespace="shop",pod="web-0"} 24`,
		`oom_container_kills_total{container="app",namespace="shop",pod="gone-1"} 8`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestABrokenPartLeavesTheOthers(t *testing.T) {
	for _, c := range []struct {
		name         string
		break_       func(*fakeHost)
		failed, fine []string
	}{
		{"groups fail", func(h *fakeHost) { h.err = map[string]error{"groups": errors.New("no memory controller")} }, []string{"container", "pod", "slice", "event"}, []string{"node", "process"}},
		{"processes panic", func(h *fakeHost) { h.panics = "processes" }, []string{"process", "predict", "node", "container"}, []string{"pod", "slice", "event"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := fullHost()
			c.break_(h)
			text := exposition(t, New(h, Options{Kills: h, Recorder: h}), Request{})
			for _, n := range c.failed {
				if !strings.Contains(text, `oom_scrape_collector_success{collector="`+n+`"} 0`) {
					t.Errorf("collector %s is not said to have failed", n)
				}
			}
			for _, n := range c.fine {
				if !strings.Contains(text, `oom_scrape_collector_success{collector="`+n+`"} 1`) {
					t.Errorf("collector %s failed, too:\n%s", n, text)
				}
			}
			if !strings.Contains(text, "oom_kills_total") {
				t.Error("kills are lost with the broken part")
			}
		})
	}
}

// The raw count is that of the ledger's last look, so that each scrape balances,
// and the kernel's own before the ledger counts.
func TestNodeKillsAreOfTheSameMoment(t *testing.T) {
	h := fullHost()
	o := Options{Kills: kept{oom.KillTotals{NodeKills: oom.Of(4711)}}, Enabled: map[string]bool{"event": true}}
	if text := exposition(t, New(h, o), Request{}); !strings.Contains(text, "\noom_node_kills_total 4711\n") {
		t.Errorf("want the ledger's count:\n%s", text)
	}
	n, err := h.Node()
	if err != nil {
		t.Fatal(err)
	}
	o.Kills = kept{}
	want := fmt.Sprintf("\noom_node_kills_total %s\n", n.OOMKills)
	if text := exposition(t, New(h, o), Request{}); !strings.Contains(text, want) {
		t.Errorf("want the kernel's count:\n%s", text)
	}
}

// kept are totals that don't change.
type kept struct{ totals oom.KillTotals }

func (k kept) KillTotals() oom.KillTotals { return k.totals }

func TestRequestsNarrowAScrape(t *testing.T) {
	h := fullHost()
	s := New(h, Options{Kills: h, Recorder: h, Enabled: map[string]bool{"node": true, "pod": true, "event": true}})
	for _, c := range []struct {
		r         Request
		has, lack string
	}{
		{Request{}, "oom_pod_memory_usage_bytes", "oom_container_memory"},
		{Request{Collect: []string{"node"}}, "oom_node_memory_available_bytes", "oom_pod"},
		{Request{Collect: []string{"event"}}, "oom_node_kills_total", "oom_node_memory"},
		{Request{Exclude: []string{"node"}}, "oom_pod_memory_usage_bytes", "oom_node_memory"},
	} {
		text := exposition(t, s, c.r)
		if !strings.Contains(text, c.has) || strings.Contains(text, c.lack) {
			t.Errorf("%+v: want %s and no %s:\n%s", c.r, c.has, c.lack, text)
		}
	}
	h.asked = nil
	exposition(t, New(h, Options{Enabled: map[string]bool{"pod": true}}), Request{})
	if h.asked["processes"] != 0 || h.asked["node"] != 0 {
		t.Errorf("what nobody asked for was read: %v", h.asked)
	}
	err := s.Validate(Request{Collect: []string{"node", "container"}})
	if err == nil || !strings.Contains(err.Error(), `"container"`) || !strings.Contains(err.Error(), "node, event") && !strings.Contains(err.Error(), "pod, node, event") {
		t.Errorf("Validate = %v", err)
	}
}

func TestFilterHidesSeriesNotKills(t *testing.T) {
	h := fullHost()
	s := New(h, Options{Kills: h, Keep: &Filter{ExcludeNamespace: regexp.MustCompile("^shop$")}})
	text := exposition(t, s, Request{})
	if strings.Contains(text, `oom_container_memory_usage_bytes{container="app"`) || strings.Contains(text, "oom_pod_memory") || strings.Contains(text, "oom_container_kills_total{container=\"app\"") {
		t.Errorf("excluded namespace is shown:\n%s", text)
	}
	if !strings.Contains(text, `oom_kills_total{level="pod"} 4`) {
		t.Error("the totals by level must not be filtered")
	}
}

func TestConcurrentGathersKeepTheirOwnFamilies(t *testing.T) {
	h := fullHost()
	s := New(h, Options{Kills: h, Logger: nil})
	want := exposition(t, s, Request{Exclude: []string{"event"}})
	want = want[:strings.Index(want, "# HELP oom_exporter")]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				got := exposition(t, s, Request{Exclude: []string{"event"}})
				if got = got[:strings.Index(got, "# HELP oom_exporter")]; got != want {
					t.Error("a concurrent scrape changed another's answer")
				}
			}
		})
	}
	wg.Wait()
}

func TestDocsAreUpToDate(t *testing.T) {
	var b bytes.Buffer
	if err := writeDocs(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "docs", "metrics.md")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("docs/metrics.md is not what the code says; run make docs:\n%s", d)
	}
}

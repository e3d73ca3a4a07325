// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

var update = flag.Bool("update", false, "rewrite the generated pages")

func runWith(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = run(ctx, args, streams{&out, &errs})
	return out.String(), errs.String(), err
}

func TestBadFlagsNameFlagValueAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--policy=all"}, []string{"--policy", "all", "noop, process, container"}},
		{[]string{"--margin-ratio=2"}, []string{"--margin-ratio", "0 to 1"}},
		{[]string{"--min-margin=5%"}, []string{"--min-margin", "1Mi"}},
		{[]string{"--min-margin=100Mi"}, []string{"--min-margin=100Mi", "--max-margin=50Mi"}},
		{[]string{"--poll.min=10s"}, []string{"--poll.min=10s", "--poll.max=5s"}},
		{[]string{"--protect.adj-below=-1001"}, []string{"--protect.adj-below", "-1000 to 1000"}},
		{[]string{"--kill-switch="}, []string{"--kill-switch", "a file"}},
		{[]string{"--include.pod=("}, []string{"--include.pod", "regular expression"}},
		{[]string{"--web.config.file=/does/not/exist"}, []string{"/does/not/exist"}},
		{[]string{"--no-such-flag"}, []string{"no-such-flag", "--help"}},
	} {
		_, _, err := runWith(t, c.args...)
		var usage cli.UsageError
		if !errors.As(err, &usage) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v is no usage error of one line", c.args, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v: %q does not say %q", c.args, err, w)
			}
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for arg, want := range map[string]string{"--help": "--kill-switch", "--version": "oom_guard, version"} {
		out, _, err := runWith(t, arg)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s printed %q, %v", arg, out, err)
		}
	}
}

func TestNoHierarchyIsSaid(t *testing.T) {
	_, _, err := runWith(t, "--check", "--path.sysfs="+t.TempDir(), "--path.procfs="+t.TempDir())
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("error = %v", err)
	}
}

func TestTheProtectedNames(t *testing.T) {
	c, err := parseArgs(nil, streams{&bytes.Buffer{}, &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"oom_exporter": true, "oom_guard": true, "kubelet": true, "containerd": true, "containerd-shim": true, "dockerd": true,
		"crio": true, "conmon": true, "systemd": true, "systemd-journal": true, "java": false, "kubelety": false, "my-kubelet": false, "": false,
	} {
		if c.protect.MatchString(name) != want {
			t.Errorf("%q is protected: %v", name, !want)
		}
	}
	if c.policy != "noop" || c.adjBelow != -900 || c.events {
		t.Errorf("by default: policy %s, adj below %d, events %v", c.policy, c.adjBelow, c.events)
	}
}

func target(namespace, pod, container string, threshold uint64) guard.Target {
	return guard.Target{
		GroupID:  oom.GroupID{Path: "/" + pod + "/" + container},
		Identity: oom.Identity{Workload: oom.Workload{Namespace: namespace, Pod: pod, Container: container}},
		Kind:     oom.KindContainer, Limit: threshold + 1<<20, Threshold: threshold,
	}
}

// example is a guard that has done a little of everything.
func example() *metrics {
	s := guard.Stats{
		Targets: []guard.Target{target("shop", "web", "app", 99<<20), target("shop", "web", "app", 50<<20), target("", "", "db\n.service", 10<<20)},
		Polled:  1, Crossings: 4, Notices: map[guard.NoticeKind]uint64{guard.NoticeUsage: 9}, Reclaims: 3, ReclaimFailed: 1,
		ReclaimedBytes: 5 << 20, Outcomes: map[guard.Outcome]uint64{guard.OutcomeKilled: 2}, Scans: 7, ScanFailures: 2,
		Reactions: make([]uint64, len(guard.Buckets())+1), ReactionSum: 10.003,
	}
	s.Reactions[2], s.Reactions[len(s.Reactions)-1] = 1, 1
	return &metrics{
		policy: guard.PolicyProcess, stats: func() guard.Stats { return s }, off: func() bool { return true },
		events: func() (uint64, uint64, uint64) { return 1, 2, 3 }, warnings: func() (uint64, uint64, uint64) { return 4, 5, 6 },
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(example())
	const want = `
# HELP oom_guard_threshold_bytes Usage from which the guard acts: the limit less the margin. A pod's own limit has an empty container.
# TYPE oom_guard_threshold_bytes gauge
oom_guard_threshold_bytes{container="app",namespace="shop",pod="web"} 1.03809024e+08
oom_guard_threshold_bytes{container="db\\x0a.service",namespace="",pod=""} 1.048576e+07
# HELP oom_guard_groups Groups that are watched, by how: notice (the kernel tells) or poll.
# TYPE oom_guard_groups gauge
oom_guard_groups{by="notice"} 2
oom_guard_groups{by="poll"} 1
# HELP oom_guard_scans_total Passes over all groups, by result.
# TYPE oom_guard_scans_total counter
oom_guard_scans_total{result="failure"} 2
oom_guard_scans_total{result="success"} 5
# HELP oom_guard_kubernetes_events_total Events for the API server, by result: sent, failed or dropped. Only with --kubernetes-events.
# TYPE oom_guard_kubernetes_events_total counter
oom_guard_kubernetes_events_total{result="dropped"} 3
oom_guard_kubernetes_events_total{result="failed"} 2
oom_guard_kubernetes_events_total{result="sent"} 1
`
	names := []string{"oom_guard_threshold_bytes", "oom_guard_groups", "oom_guard_scans_total", "oom_guard_kubernetes_events_total"}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if h := f.Metric[0].GetHistogram(); f.GetName() == "oom_guard_reaction_seconds" {
			if h.GetSampleCount() != 2 || h.Bucket[1].GetCumulativeCount() != 0 || h.Bucket[2].GetCumulativeCount() != 1 || h.Bucket[len(h.Bucket)-1].GetCumulativeCount() != 1 {
				t.Errorf("histogram = %v", h)
			}
		}
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestTable(t *testing.T) {
	rows := []guard.Row{
		{Action: guard.Action{Target: target("shop", "web", "app", 99<<20), Usage: 10 << 20}, Would: "nothing"},
		{Action: guard.Action{Target: guard.Target{GroupID: oom.GroupID{Path: "/x\x1b[2J"}, Kind: oom.KindPod}}, Would: "kill\n\x1b[2J"},
	}
	var b bytes.Buffer
	if err := table(&b, &config{policy: "noop", killSwitch: "/run/off"}, rows, true); err != nil {
		t.Fatal(err)
	}
	const want = `WORKLOAD      LEVEL      LIMIT      THRESHOLD  USAGE     RECLAIMABLE  NOW              CGROUP
shop/web/app  container  100.0 MiB  99.0 MiB   10.0 MiB  0 B          nothing          /web/app
/x\x1b[2J     pod        0 B        0 B        0 B       0 B          kill\x0a\x1b[2J  /x\x1b[2J

2 groups are watched, with the policy noop. The kill switch /run/off is thrown: nothing is killed.
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestEventsNeedAnAPIServer(t *testing.T) {
	_, _, err := runWith(t, "--kubernetes-events", "--web.listen-address=127.0.0.1:0", "--include.container=none")
	if err == nil || !strings.Contains(err.Error(), "API server") && !strings.Contains(err.Error(), "cgroup") {
		t.Errorf("error = %v", err)
	}
}

// TestReference holds docs/guard-reference.md against flags and metrics.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Generated from cmd/oom_guard by \"make docs\"; a test holds it against the code. -->\n# oom_guard: flags and metrics\n\nWhat it does and how to run it: [guard.md](guard.md).\n\n## Flags\n\n| flag | default | meaning |\n|---|---|---|\n")
	for _, f := range newApp(&config{}).Model().Flags {
		if f.Name == "help" || f.Name == "version" || f.Hidden {
			continue
		}
		def := strings.ReplaceAll(strings.Join(f.Default, ","), "|", "\\|")
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | %s | %s |\n", f.Name, def, strings.ReplaceAll(f.Help, "|", "\\|"))
	}
	b.WriteString("\n## Metrics\n\n| family | type | labels | meaning |\n|---|---|---|---|\n")
	reg := prometheus.NewRegistry()
	reg.MustRegister(example())
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		var labels []string
		for _, l := range f.Metric[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	outcomes := make([]string, 0, len(guard.Outcomes()))
	for _, o := range guard.Outcomes() {
		outcomes = append(outcomes, "`"+string(o)+"`")
	}
	fmt.Fprintf(&b, "\nThe outcomes of `oom_guard_actions_total`: %s.\n", strings.Join(outcomes, ", "))
	path := filepath.Join("..", "..", "docs", "guard-reference.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("%s is not what the code says; run make docs:\n%s", path, d)
	}
}

// TestHealthCanFail: a loop that hangs is seen, one that has not begun is not, nor one
// that looks seldom because it is told to.
func TestHealthCanFail(t *testing.T) {
	now := time.Unix(1e9, 0)
	for ago, want := range map[time.Duration]int{0: http.StatusOK, 29 * time.Second: http.StatusOK, 31 * time.Second: http.StatusServiceUnavailable, -1: http.StatusOK} {
		stats := guard.Stats{Stepped: now.Add(-ago)}
		if ago < 0 {
			stats.Stepped = time.Time{}
		}
		w := httptest.NewRecorder()
		healthy(func() guard.Stats { return stats }, 5*time.Second, func() time.Time { return now })(w, httptest.NewRequest(http.MethodGet, "/-/healthy", nil))
		if w.Code != want {
			t.Errorf("last step %v ago: %d, want %d", ago, w.Code, want)
		}
		w = httptest.NewRecorder()
		healthy(func() guard.Stats { return stats }, time.Minute, func() time.Time { return now })(w, httptest.NewRequest(http.MethodGet, "/-/healthy", nil))
		if w.Code != http.StatusOK {
			t.Errorf("last step %v ago, with a minute between two looks: %d", ago, w.Code)
		}
	}
}

// TestPages serves without a single group being watched.
func TestPages(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	c, err := parseArgs([]string{"--include.container=no such container", "--include.pod=none"}, streams{&bytes.Buffer{}, &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := assemble(c, nil)
	if err != nil {
		t.Skip(err)
	}
	defer p.close()
	h, err := pages(c, p)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, _ := get("/-/ready"); code != http.StatusServiceUnavailable {
		t.Errorf("ready before the first scan: %d", code)
	}
	if err := p.guard.Scan(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/-/ready": "ready", "/-/healthy": "healthy", "/": "oom_guard", "/metrics": `oom_guard_policy_info{policy="noop"} 1`,
	} {
		if code, body := get(path); code != http.StatusOK || !regexp.MustCompile(regexp.QuoteMeta(want)).MatchString(body) {
			t.Errorf("%s: %d, without %q", path, code, want)
		}
	}
}

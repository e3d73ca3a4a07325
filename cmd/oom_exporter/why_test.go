// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/oom-exporter/oom_exporter/internal/causes"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/web"
)

// shelf is a flight recorder with given recordings.
type shelf struct {
	recordings map[string]oom.Recording
	frozen     []string
	tracks     []oom.Track
}

func (s *shelf) Freeze(k oom.Kill) { s.frozen = append(s.frozen, k.ID) }

func (s *shelf) Recording(id string) (oom.Recording, bool) {
	r, ok := s.recordings[id]
	return r, ok
}

func (s *shelf) Current(string) (oom.Track, bool) { return oom.Track{}, false }

func (s *shelf) Tracks() []oom.Track { return s.tracks }

func (s *shelf) Growing() []oom.Track { return s.tracks }

// death is a made-up kill: what cannot be freed, in MiB, so many seconds after
// the beginning.
type death struct {
	id, container, comm string
	life                float64 // seconds.
	limit               func(t float64) float64
	size                func(t float64) float64
	other               func(t float64) float64 // of a sibling below the same limit; nil: none.
	processes           func(t float64) float64
}

func (d *death) at(t float64) time.Time {
	return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).Add(time.Duration(t * float64(time.Second)))
}

func mibs(n float64) oom.Amount { return oom.Of(uint64(max(0, n) * (1 << 20))) }

func (d *death) track(container string, size, limit func(t float64) float64) oom.Track {
	track := oom.Track{Born: d.at(0), Workload: oom.Workload{Namespace: "shop", Pod: "web-7d9c", Container: container}}
	sample := func(t float64) oom.Sample {
		s := oom.Sample{
			Time: d.at(t), Usage: mibs(min(size(t)+12, limit(t))), Unreclaimable: mibs(size(t)), Anon: mibs(size(t)), Shmem: oom.Of(0), File: mibs(12), Kernel: oom.Of(0),
			Limit: mibs(limit(t)), LimitHits: oom.Of(0),
		}
		if d.processes != nil {
			s.Processes = oom.Of(uint64(d.processes(t)))
		}
		return s
	}
	for t := max(0, d.life-120); t < d.life-0.05; t += 0.5 {
		track.Fine = append(track.Fine, sample(t))
	}
	for t := max(0, d.life-1200); t < d.life; t += 15 {
		track.Medium = append(track.Medium, sample(t))
	}
	for t := 0.0; t+300 < d.life; t += 300 {
		low, high := size(t), size(t+299)
		track.Coarse = append(track.Coarse, oom.Span{
			Start: d.at(t), Length: 5 * time.Minute, UsageMin: mibs(low + 12), UsageMax: mibs(high + 12), UnreclaimableMin: mibs(low), UnreclaimableMax: mibs(high),
		})
	}
	return track
}

// make returns the kill and its recording.
func (d *death) make() (oom.Kill, oom.Recording) {
	limit := mibs(d.limit(d.life))
	rss := d.size(d.life)
	if d.processes != nil {
		rss /= d.processes(d.life)
	}
	k := oom.Kill{
		ID: d.id, Time: d.at(d.life), Level: oom.LevelContainer, Constraint: oom.ConstraintMemcg, Usage: limit, Limit: limit,
		Workload: oom.Workload{Namespace: "shop", Pod: "web-7d9c", Container: d.container},
		Victim:   oom.Victim{PID: 12476, Comm: d.comm, AnonRSS: mibs(rss - 8), FileRSS: mibs(3), ShmemRSS: oom.Of(0)},
	}
	rec := oom.Recording{KillID: d.id, Taken: k.Time, Victim: d.track(d.container, d.size, d.limit), Gap: 500 * time.Millisecond}
	if d.other != nil {
		k.Level = oom.LevelPod
		rec.Victim = d.track(d.container, d.size, func(float64) float64 { return d.limit(0) * 2 })
		owner := d.track("", func(t float64) float64 { return d.size(t) + d.other(t) }, d.limit)
		rec.Owner, rec.Siblings = &owner, []oom.Track{d.track("sidecar", d.other, d.limit)}
	}
	task := oom.TaskTrack{PID: 12476, Comm: d.comm}
	for t := max(0, d.life-60); t < d.life; t++ {
		share := 1.0
		if d.processes != nil {
			share = d.processes(t)
		}
		task.Times, task.RSS = append(task.Times, d.at(t)), append(task.RSS, mibs(d.size(t)/share-5).Or(0))
	}
	rec.Victim.Tasks = []oom.TaskTrack{task}
	return k, rec
}

func always(n float64) func(float64) float64 { return func(float64) float64 { return n } }

// deaths are one of each of the causes that the page shows.
func deaths() []death {
	warm := func(t, to float64) float64 { return to * min(1, t/20) }
	return []death{
		{id: "3c9d2b1e-1", container: "app", comm: "java", life: 2460, limit: always(512), size: func(t float64) float64 { return warm(t, 200) + 312*t/2460 }},
		{id: "3c9d2b1e-2", container: "app", comm: "python3", life: 3607, limit: always(512), size: func(t float64) float64 { return warm(t, 180) + max(0, t-3600)*332/7 }},
		{id: "3c9d2b1e-3", container: "app", comm: "node", life: 9, limit: always(256), size: func(t float64) float64 { return 256 * math.Sqrt(t/9) }},
		{id: "3c9d2b1e-4", container: "app", comm: "envoy", life: 1800, limit: always(384), size: func(t float64) float64 { return warm(t, 90) }, other: func(t float64) float64 {
			return warm(t, 60) + max(0, t-1760)*234/40
		}},
		{
			id: "3c9d2b1e-5", container: "app", comm: "worker", life: 300, limit: always(256), size: func(t float64) float64 { return 6 * math.Floor(4+38.7*t/300) },
			processes: func(t float64) float64 { return math.Floor(4 + 38.7*t/300) },
		},
	}
}

// shelved returns an exporter's part that has these kills.
func shelved(all []death) (*whys, *shelf, []oom.Kill) {
	s := &shelf{recordings: map[string]oom.Recording{}}
	var kills []oom.Kill
	for i := range all {
		k, rec := all[i].make()
		s.recordings[k.ID] = rec
		s.tracks = append(s.tracks, rec.Victim)
		kills = append(kills, k)
	}
	w := &whys{recorder: s, store: causes.New(causes.Options{}), logger: log.NewNopLogger()}
	w.begin(func() []oom.Kill { return kills })
	return w, s, kills
}

// TestLeaksOfLivingContainers looks at containers while they live: one of them
// leaks.
func TestLeaksOfLivingContainers(t *testing.T) {
	now := time.Now()
	track := func(container string, size func(minute float64) float64) oom.Track {
		tr := oom.Track{Workload: oom.Workload{Container: container}, Kind: oom.KindContainer, Born: now.Add(-30 * time.Minute)}
		for s := 1800 - 15; s >= 0; s -= 15 {
			n := mibs(size(30 - float64(s)/60))
			tr.Medium = append(tr.Medium, oom.Sample{Time: now.Add(-time.Duration(s) * time.Second), Usage: n, Unreclaimable: n, Limit: mibs(512)})
		}
		return tr
	}
	s := &shelf{tracks: []oom.Track{
		track("leaks", func(m float64) float64 { return 100 + 10*m }),
		track("slows-down", func(m float64) float64 { return 500 * (1 - math.Exp(-m/10)) }),
	}}
	w := &whys{recorder: s, store: causes.New(causes.Options{}), logger: log.NewNopLogger()}
	leaks := w.Leaks()
	if len(leaks) != 1 || leaks[0].Workload.Container != "leaks" {
		t.Fatalf("leaks %+v", leaks)
	}
	if d := leaks[0].In - 11*time.Minute - 12*time.Second; d.Abs() > time.Minute {
		t.Errorf("it reaches the limit in %v, want 11 min 12 s", leaks[0].In)
	}
	s.tracks = nil
	if again := w.Leaks(); len(again) != 1 {
		t.Errorf("looked again at once: %+v", again)
	}
	if none := (&whys{}).Leaks(); len(none) != 0 {
		t.Errorf("without a recorder: %+v", none)
	}
}

// TestPanes makes the panes of docs/why.md, so that they stay true.
func TestPanes(t *testing.T) {
	const begin, end = "<!-- The panes are made by TestPanes in cmd/oom_exporter; run make docs. -->\n", "<!-- End of the panes. -->\n"
	all := deaths()
	w, _, kills := shelved(all)
	var panes strings.Builder
	for i, want := range []oom.Cause{oom.CauseLeak, oom.CauseBurst, oom.CauseStartup, oom.CauseSibling, oom.CauseProcesses} {
		doc := w.explain(&kills[i])
		if v := doc.Kills[0].Verdict; v == nil || v.Cause != string(want) || v.Confidence != "high" {
			t.Errorf("%s: %+v, want %s", kills[i].ID, v, want)
		}
		fmt.Fprintf(&panes, "\n### %s\n\n```\n$ oom_exporter why %s\n", want, kills[i].ID)
		if err := report.Why(&panes, &doc.Kills[0], report.WhyOptions{Width: 100, Location: time.UTC}); err != nil {
			t.Fatal(err)
		}
		panes.WriteString("```\n")
	}
	const file = "../../docs/why.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/why.md has no marks around the panes")
	}
	made := panes.String() + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+made+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if have != made {
		t.Error("the panes of docs/why.md are not what the code makes; run make docs")
	}
}

// TestFindKill has each way in which a person names a kill.
func TestFindKill(t *testing.T) {
	kills := []oom.Kill{
		{ID: "b-1", Workload: oom.Workload{Namespace: "shop", Pod: "web-1", Container: "app"}, Victim: oom.Victim{PID: 7}},
		{ID: "b-2", Workload: oom.Workload{Namespace: "shop", Pod: "web-1", Container: "app"}, Victim: oom.Victim{PID: 8, TGID: 9}},
		{ID: "b-3", Workload: oom.Workload{Container: "cron.service"}, VictimPath: "/system.slice/cron.service", Victim: oom.Victim{PID: 10}},
	}
	for what, want := range map[string]string{
		"": "b-3", "b-1": "b-1", "7": "b-1", "9": "b-2", "shop/web-1/app": "b-2", "web-1/app": "b-2", "app": "b-2", "cron.service": "b-3",
		"/system.slice/cron.service": "b-3", "10": "b-3",
		"eb-1/app": "", "11": "", "shop": "", "\x1b[2J": "",
	} {
		k, err := find(kills, what)
		switch {
		case want == "" && (err == nil || strings.ContainsAny(err.Error(), "\x1b\n")):
			t.Errorf("find(%q) = %+v, %v", what, k, err)
		case want != "" && (err != nil || k.ID != want):
			t.Errorf("find(%q) = %+v, %v; want %s", what, k, err, want)
		}
	}
	if _, err := find(nil, ""); err == nil {
		t.Error("a kill out of none")
	}
}

// noMetrics are the metrics of a server without any.
type noMetrics struct{}

func (noMetrics) Validate(web.Request) error { return nil }

func (noMetrics) Gather(web.Request) ([]*dto.MetricFamily, func(), error) { return nil, func() {}, nil }

// serveWhys serves the pages of an exporter with these kills.
func serveWhys(t *testing.T, w *whys, kills []oom.Kill) string {
	t.Helper()
	handler, err := web.New(web.Options{
		Source: noMetrics{}, Self: prometheus.NewRegistry(), TelemetryPath: "/metrics", Ready: func() bool { return true },
		Pages: whyPages(func() []oom.Kill { return kills }, w),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

// say runs the program and returns what it printed and why it failed.
func say(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: io.Discard})
	return out.String(), err
}

func TestWhyAsksTheExporter(t *testing.T) {
	w, _, kills := shelved(deaths())
	url := serveWhys(t, w, kills)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"why", "3c9d2b1e-1"}, "Cause: leak, of anon memory (high confidence)"},
		{[]string{"why", "shop/web-7d9c/app"}, "Cause: processes"},
		{[]string{"why", "--format=json", "3c9d2b1e-1"}, `"cause": "leak"`},
		{[]string{"advise"}, "shop/web-7d9c/app"},
		{[]string{"advise", "--format=json"}, `"observed_hours"`},
	} {
		out, err := say(t, append(tc.args, "--url="+url)...)
		if err != nil || !strings.Contains(out, tc.want) {
			t.Errorf("%v: %v, without %q:\n%s", tc.args, err, tc.want, out)
		}
	}
}

// TestWhyErrors has what a person is told where there is no answer.
func TestWhyErrors(t *testing.T) {
	w, _, kills := shelved(deaths())
	url := serveWhys(t, w, kills)
	off := serveWhys(t, &whys{store: causes.New(causes.Options{}), logger: log.NewNopLogger()}, kills)
	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no exporter": {[]string{"why", "--url=" + gone.URL}, "no exporter answers at " + gone.URL},
		"older":       {[]string{"why", "--url=" + old.URL}, "without the event collector, or is older"},
		"no such":     {[]string{"why", "nobody", "--url=" + url}, `no kill of "nobody" is recorded: 5 kills are`},
		"no address":  {[]string{"why", "--url=localhost"}, "must be the address of an exporter"},
		"no recorder": {[]string{"advise", "--url=" + off}, "the flight recorder is off"},
	} {
		if out, err := say(t, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q; it printed %q", name, err, tc.want, out)
		}
	}
	out, err := say(t, "why", "--url="+off)
	if err != nil || !strings.Contains(out, "kept no verdict") {
		t.Errorf("a kill without a verdict: %v\n%s", err, out)
	}
}

// TestKillIsFrozenJudgedAndCounted follows one kill, and then a restart after
// which its verdict is missing.
func TestKillIsFrozenJudgedAndCounted(t *testing.T) {
	all := deaths()
	k, rec := all[0].make()
	s := &shelf{recordings: map[string]oom.Recording{k.ID: rec}}
	var lines strings.Builder
	w := &whys{recorder: s, store: causes.New(causes.Options{}), logger: log.NewLogfmtLogger(&lines)}
	w.onKill(k)
	for _, part := range []string{`msg="OOM kill"`, "cause=leak", "grew=anon", "confidence=high", `why="shop/web-7d9c/app grew from`} {
		if !strings.Contains(lines.String(), part) {
			t.Errorf("the log line lacks %s: %s", part, lines.String())
		}
	}
	if len(s.frozen) != 1 {
		t.Errorf("%v was frozen", s.frozen)
	}
	living := []oom.WorkloadKills{{Workload: k.Workload}}
	again := func() ([]oom.WorkloadKills, []oom.Kill) { return living, []oom.Kill{k} }
	if got := w.store.Counts(living, again); len(got) != 1 || got[0].Cause != oom.CauseLeak || got[0].Kills != 1 {
		t.Errorf("counted %+v", got)
	}
	lost := oom.Kill{ID: "3c9d2b1e-9", Workload: k.Workload}
	w = &whys{recorder: s, store: causes.New(causes.Options{}), logger: log.NewNopLogger()}
	w.begin(func() []oom.Kill { return []oom.Kill{k, lost} })
	if v, ok := w.store.Of(k.ID); !ok || v.Cause != oom.CauseLeak {
		t.Errorf("with its recording: %+v", v)
	}
	if v, ok := w.store.Of(lost.ID); !ok || v.Cause != oom.CauseUnknown || !strings.Contains(v.Sentence, "restarted") {
		t.Errorf("without a recording: %+v", v)
	}
}

// TestMatchCauses finds the verdict of a logged kill, and of no other.
func TestMatchCauses(t *testing.T) {
	why := matchCauses([]report.Kill{{Seq: 5, Victim: report.Victim{PID: 7}, Verdict: &report.Verdict{Cause: "leak"}}, {Seq: 6, Victim: report.Victim{PID: 7}}})
	if v := why(&oom.Kill{Seq: 5, Victim: oom.Victim{PID: 7}}); v == nil || v.Cause != "leak" {
		t.Errorf("%+v", v)
	}
	for _, k := range []oom.Kill{{Seq: 6, Victim: oom.Victim{PID: 7}}, {Seq: 5, Victim: oom.Victim{PID: 8}}} {
		if v := why(&k); v != nil {
			t.Errorf("%+v has %+v", k, v)
		}
	}
}

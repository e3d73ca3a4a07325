// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const mib = 1 << 20

// noon is when all of the scene happens.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func row(kind oom.Kind, path string, w oom.Workload, usage, held uint64, limit oom.Amount) oom.Row {
	return oom.Row{
		Group: &oom.Group{
			GroupID: oom.GroupID{Path: path}, Kind: kind, Identity: oom.Identity{Workload: w},
			Usage: oom.Of(usage * mib), Limit: limit,
			Stat: oom.Stat{Anon: oom.Of(held * mib * 9 / 10), Shmem: oom.Of(held * mib / 20), Kernel: oom.Of(held * mib / 20), File: oom.Of((usage - held) * mib), InactiveFile: oom.Of((usage - held) * mib / 2)},
		},
		Unreclaimable: oom.Of(held * mib), MaxHits: oom.Of(17),
	}
}

// scene is a node on which something is wrong: a pod without room, a leaking
// container that was killed twice, names that try to be more than text.
type scene struct {
	look  Look
	kills []oom.Kill
	past  past
}

// past is what was recorded.
type past struct {
	recordings map[string]oom.Recording
	verdicts   map[string]oom.Verdict
	tracks     map[string]oom.Track
}

func (p past) Recording(id string) (oom.Recording, bool) {
	r, ok := p.recordings[id]
	return r, ok
}

func (p past) Verdict(id string) (oom.Verdict, bool) {
	v, ok := p.verdicts[id]
	return v, ok
}

func (p past) Track(cgroup string) (oom.Track, bool) {
	t, ok := p.tracks[cgroup]
	return t, ok
}

var (
	web    = oom.Workload{Namespace: "shop", Pod: "web-7d4f9-x2", Container: "app"}
	envoy  = oom.Workload{Namespace: "shop", Pod: "web-7d4f9-x2", Container: "envoy"}
	db     = oom.Workload{Namespace: "shop", Pod: "db-0", Container: "postgres"}
	batch  = oom.Workload{Namespace: "jobs", Pod: "nightly-28374", Container: "worker"}
	docker = oom.Workload{Container: "registry"}
	unit   = oom.Workload{Container: "/machine.slice/odd/leaf"}
)

const podPath = "/kubepods.slice/pod1"

func newScene() *scene {
	s := &scene{}
	app := row(oom.KindContainer, podPath+"/app", web, 480, 471, oom.Of(512*mib))
	app.Margin = oom.Margin{Bytes: 16 * mib, Ratio: 16.0 / 640, Level: oom.LevelPod, Cgroup: podPath, Known: true}
	app.QoS, app.Processes = oom.QoSBurstable, oom.ProcessSummary{Known: true, Count: 3, Adj: true, AdjMax: 979}
	side := row(oom.KindContainer, podPath+"/envoy", envoy, 150, 140, oom.Unlimited())
	side.Margin = app.Margin
	pg := row(oom.KindContainer, "/kubepods.slice/pod2/pg", db, 980, 310, oom.Of(1024*mib))
	pg.Margin = oom.Margin{Bytes: 714 * mib, Ratio: 714.0 / 1024, Level: oom.LevelContainer, Cgroup: pg.Path, Known: true}
	work := row(oom.KindContainer, "/kubepods.slice/pod3/w", batch, 236, 234, oom.Of(256*mib))
	work.Margin = oom.Margin{Bytes: 22 * mib, Ratio: 22.0 / 256, Level: oom.LevelContainer, Cgroup: work.Path, Known: true}
	reg := row(oom.KindContainer, "/docker/0123", docker, 90, 40, oom.Unlimited())
	reg.Margin = oom.Margin{Bytes: 5200 * mib, Ratio: 0.65, Level: oom.LevelNode, Known: true}
	leaf := row(oom.KindContainer, unit.Container, unit, 10, 8, oom.Of(64*mib))
	leaf.Margin = oom.Margin{Bytes: 56 * mib, Ratio: 56.0 / 64, Level: oom.LevelContainer, Cgroup: leaf.Path, Known: true}
	pod := row(oom.KindPod, podPath, oom.Workload{Namespace: web.Namespace, Pod: web.Pod}, 630, 624, oom.Of(640*mib))
	slice := row(oom.KindSlice, "/kubepods.slice", oom.Workload{}, 1850, 1180, oom.Of(7400*mib))
	java := oom.ProcessRow{
		Process:  oom.Process{PID: 1101, Comm: "java", Adj: 979, Score: oom.Of(1330), RSS: 455 * mib},
		Workload: web, Badness: 455 * mib,
	}
	s.look = Look{
		Time: noon,
		Node: &oom.NodeState{
			Node:              oom.Node{Total: oom.Of(8000 * mib), OOMKills: oom.Of(5), PanicOnOOM: oom.Of(0)},
			Margin:            oom.Margin{Bytes: 5200 * mib, Ratio: 0.65, Level: oom.LevelNode, Known: true},
			EvictionAvailable: oom.Of(4900 * mib), EvictionThreshold: oom.Of(100 * mib),
		},
		Groups: &oom.Groups{Containers: []oom.Row{reg, pg, app, side, work, leaf}, Pods: []oom.Row{pod}, Slices: []oom.Row{slice}},
		Processes: &oom.Processes{
			Top: []oom.ProcessRow{java}, Unkillable: oom.Of(62 * mib),
			Victims: []oom.NextVictim{
				{Scope: oom.LevelNode, Process: java, Badness: 8200 * mib, All: 1},
				{Scope: oom.LevelPod, Cgroup: podPath, Process: java, Badness: 1080 * mib, All: 1},
				{Scope: oom.LevelContainer, Cgroup: work.Path, Process: oom.ProcessRow{Process: oom.Process{PID: 2210, Comm: "python3", RSS: 190 * mib}, Workload: batch}, Badness: 440 * mib, All: 2, Tie: true},
			},
		},
	}
	s.addKills(app.Path)
	return s
}

// addKills records two kills in the leaking container, one of a node.
func (s *scene) addKills(path string) {
	kill := func(id string, ago time.Duration, w oom.Workload, level oom.Level) oom.Kill {
		return oom.Kill{
			ID: id, Time: noon.Add(-ago), Uptime: time.Hour, Constraint: oom.ConstraintMemcg, Level: level,
			LimitPath: path, VictimPath: path, Workload: w, Usage: oom.Of(512 * mib), Limit: oom.Of(512 * mib),
			Victim: oom.Victim{
				PID: 12476, Comm: "java", UID: oom.Of(1000), TotalVM: oom.Of(4096 * mib), AnonRSS: oom.Of(492 * mib),
				FileRSS: oom.Of(5 * mib), ShmemRSS: oom.Of(mib), Adj: 979, AdjKnown: true,
			},
			Trigger:  &oom.Trigger{Comm: "GC Thread#0", PID: 12480, GFPMask: "GFP_KERNEL"},
			Evidence: "report",
		}
	}
	old := kill("k1", 26*time.Hour, oom.Workload{}, oom.LevelNode)
	old.Victim.Comm, old.Victim.PID, old.Limit, old.Usage, old.LimitPath, old.Trigger = "chrome", 801, oom.Amount{}, oom.Amount{}, "", nil
	old.Constraint, old.VictimPath = oom.ConstraintNone, "/user.slice"
	s.kills = []oom.Kill{old, kill("k2", 3*time.Hour, web, oom.LevelContainer), kill("k3", 4*time.Minute, web, oom.LevelContainer)}
	last := &s.kills[2]
	track := oom.Track{Cgroup: path, Workload: web, Kind: oom.KindContainer}
	for i := range 120 {
		at := float64(i) / 119
		held := uint64((300 + 205*at) * mib)
		file := uint64(float64(60+i%17) * mib * (1 - at))
		track.Fine = append(track.Fine, oom.Sample{
			Time: last.Time.Add(time.Duration(i-120) * time.Second), Usage: oom.Of(min(held+file, 512*mib)),
			Limit: oom.Of(512 * mib), Unreclaimable: oom.Of(held),
		})
	}
	day := oom.Track{Cgroup: path, Workload: web}
	for i := range 288 {
		low := uint64(150+i%100*3) * mib
		day.Coarse = append(day.Coarse, oom.Span{
			Start: noon.Add(time.Duration(i-288) * 5 * time.Minute), Length: 5 * time.Minute,
			UsageMin: oom.Of(low), UsageMax: oom.Of(low + 40*mib),
			UnreclaimableMin: oom.Of(low), UnreclaimableMax: oom.Of(low + 12*mib),
		})
	}
	s.past = past{
		recordings: map[string]oom.Recording{"k3": {KillID: "k3", Victim: track, Gap: 300 * time.Millisecond}},
		verdicts: map[string]oom.Verdict{"k3": {
			Cause: oom.CauseLeak, Grew: oom.MemoryAnon, Sure: true,
			Sentence: "java (pid 12476) grew from 212 MiB to 498 MiB in 41 min, 7 MiB a minute, anonymous, nearly straight; the limit of 512 MiB was reached.",
			Advice:   "No limit is enough for a leak: 512 MiB more would have lasted 73 min. Look for what java keeps.",
			Tasks:    []oom.TaskGrowth{{PID: 12476, Comm: "java", From: 212 * mib, To: 498 * mib}},
			Siblings: []oom.SiblingGrowth{{Workload: envoy, From: 120 * mib, To: 140 * mib}},
		}},
		tracks: map[string]oom.Track{path: day},
	}
}

// handler serves the scene.
func (s *scene) handler(t testing.TB) http.Handler {
	t.Helper()
	h, err := New(Options{
		Host: "node-3", Version: "oom_exporter 0.0.0", Look: func() Look { return s.look }, Past: s.past,
		Kills:   func() []oom.Kill { return s.kills },
		Explain: func(k *oom.Kill) string { return fmt.Sprintf("%s was killed.\n  limit    512 MiB\n", k.Victim.Comm) },
		Findings: func() ([]Finding, string) {
			return []Finding{
				{Source: "node", Detail: "Linux 6.12.0, 7.8 GiB of memory"},
				{Source: "kernel log", State: StateMissing, Detail: "open /dev/kmsg: permission denied", Remedy: "grant CAP_SYSLOG"},
				{Source: "processes", State: StateLimited, Detail: "12 seen; those of other users are hidden (hidepid)", Remedy: "run as root"},
				{Source: "tracefs", State: StateOptional, Detail: "not mounted"},
			}, "Missing: kernel log. Seen in part: processes. Optional: tracefs."
		},
		Links: []Link{{"metrics", "Metrics"}, {"api/v1/kills", "Kills as JSON"}, {"-/healthy", "Health"}},
		Now:   func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks for a page.
func get(t testing.TB, h http.Handler, path string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header(), string(body)
}

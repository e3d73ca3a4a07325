// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
)

func killAt(pid int, at time.Time, ns, pod, container string) oom.Kill {
	return oom.Kill{
		Time: at, Seq: uint64(pid), Level: oom.LevelContainer, Victim: oom.Victim{PID: pid, Comm: "hog"},
		Workload: oom.Workload{Namespace: ns, Pod: pod, Container: container},
	}
}

// fakeExporter serves kills that a test may add to; it knows no filter.
func fakeExporter(t *testing.T, kills *atomic.Pointer[[]oom.Kill]) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != killsPath {
			http.NotFound(w, r)
			return
		}
		_ = report.JSON(w, report.FromKills(*kills.Load()))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestEventsFilters(t *testing.T) {
	base := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	list := []oom.Kill{
		killAt(3, base.Add(2*time.Hour), "shop", "web", "app"), killAt(1, base, "shop", "web", "app"),
		killAt(2, base.Add(time.Hour), "shop", "db", "postgres"), killAt(4, base.Add(3*time.Hour), "", "", "registry"),
	}
	var kills atomic.Pointer[[]oom.Kill]
	kills.Store(&list)
	url := fakeExporter(t, &kills)
	for args, want := range map[string]string{
		"": "1 2 3 4", "--last=2": "3 4", "--since=2026-01-02T04:30:00Z": "3 4", "--namespace=shop": "1 2 3",
		"--pod=db": "2", "--container=app --last=1": "3", "--namespace=none": "",
	} {
		var out, said lockedBuffer
		err := run(t.Context(), append([]string{"events", "--format=json", "--url=" + url}, strings.Fields(args)...), streams{in: strings.NewReader(""), out: &out, err: &said})
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		doc, err := report.Decode(strings.NewReader(out.String()))
		if err != nil {
			t.Fatal(err)
		}
		var pids []string
		for _, k := range doc.Kills {
			pids = append(pids, string(rune('0'+k.Victim.PID)))
		}
		if got := strings.Join(pids, " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
		if !strings.Contains(said.String(), "from the exporter at "+url) {
			t.Errorf("%s: it does not say whom it asked: %s", args, said.String())
		}
	}
}

// TestEventsFollow lists what comes later, once each, and one heading.
func TestEventsFollow(t *testing.T) {
	base := time.Now().Add(-time.Minute)
	var kills atomic.Pointer[[]oom.Kill]
	kills.Store(&[]oom.Kill{killAt(101, base, "shop", "web", "app")})
	url := fakeExporter(t, &kills)
	ctx, cancel := context.WithCancel(t.Context())
	var out lockedBuffer
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"events", "-f", "--namespace=shop", "--url=" + url}, streams{in: strings.NewReader(""), out: &out, err: io.Discard})
	}()
	wait := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(out.String(), text); {
			if time.Now().After(deadline) {
				t.Fatalf("no %q in\n%s", text, out.String())
			}
		}
	}
	wait(" 101 ")
	kills.Store(&[]oom.Kill{
		killAt(101, base, "shop", "web", "app"), killAt(102, base.Add(time.Second), "other", "x", "y"), killAt(103, base.Add(2*time.Second), "shop", "db", "pg"),
	})
	wait(" 103 ")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	text := out.String()
	if strings.Count(text, "WORKLOAD") != 1 || strings.Count(text, " 101 ") != 1 || strings.Count(text, " 103 ") != 1 || strings.Contains(text, " 102 ") {
		t.Errorf("followed:\n%s", text)
	}
	if !strings.Contains(text, base.Local().Format("MST")) {
		t.Errorf("no zone in\n%s", text)
	}
}

// TestEventsAndExplainAgree on whose limit it was and who was killed.
func TestEventsAndExplainAgree(t *testing.T) {
	root := unpack(t, "testdata/hosts/k8s-v2-systemd.txtar")
	flags := slices.Concat(onTree(root)[:3], []string{"--path.kmsg=testdata/kill.kmsg", "--format=json"})
	var docs []report.Document
	for _, command := range []string{"events", "explain"} {
		out, err := runWith(t, append([]string{command}, flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		var d report.Document
		if err := json.NewDecoder(strings.NewReader(out)).Decode(&d); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, d)
	}
	type what struct{ Level, Namespace, Pod, Container string }
	of := func(d report.Document) (list []what) {
		for _, k := range d.Kills {
			list = append(list, what{k.Level, k.Namespace, k.Pod, k.Container})
		}
		return list
	}
	if d := cmp.Diff(of(docs[0]), of(docs[1])); d != "" || len(docs[0].Kills) == 0 || docs[0].Kills[0].Container == "" || docs[0].Kills[0].Level != "container" {
		t.Errorf("events and explain differ, or say nothing: %+v\n%s", of(docs[0]), d)
	}
}

// TestEventsOfANamedLog asks no exporter, and says what it has read.
func TestEventsOfANamedLog(t *testing.T) {
	if _, err := os.Stat("testdata/kill.kmsg"); err != nil {
		t.Fatal(err)
	}
	var out, said lockedBuffer
	if err := run(t.Context(), []string{"events", "--path.kmsg=testdata/kill.kmsg"}, streams{in: strings.NewReader(""), out: &out, err: &said}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "1 kills from the kernel log (testdata/kill.kmsg)") || !strings.Contains(out.String(), "hog") {
		t.Errorf("%s%s", said.String(), out.String())
	}
}

// TestKillsAreSortedByTime has some without a time, which a log need not have: they stay
// where they were told, and keep no other from its place.
func TestKillsAreSortedByTime(t *testing.T) {
	at := func(s int64) *time.Time {
		if s == 0 {
			return nil
		}
		v := time.Unix(s, 0)
		return &v
	}
	var kills []report.Kill
	for i, s := range []int64{0, 30, 0, 10, 0, 20} {
		kills = append(kills, report.Kill{ID: strconv.Itoa(i), Time: at(s)})
	}
	sortByTime(kills)
	got := ""
	for _, k := range kills {
		got += k.ID
	}
	if got != "034512" {
		t.Errorf("the order is %s", got)
	}
}

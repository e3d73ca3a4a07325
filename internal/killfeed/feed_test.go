// SPDX-License-Identifier: Apache-2.0

package killfeed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// sink writes down what it is told.
type sink struct {
	mu   sync.Mutex
	told []string
}

func (s *sink) tell(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprintf(format, a...))
}

func (s *sink) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.told...)
}

func (s *sink) Log(k oom.Kill) {
	s.tell("kill %d in %q, record %d", k.Victim.PID, k.VictimPath, k.Seq)
}
func (s *sink) Group(path string) { s.tell("group kill in %s", path) }
func (s *sink) Witness(w oom.Sighting) {
	s.tell("%s saw %d %s in %s", w.By, w.Victim.PID, w.Victim.Comm, w.Path)
}
func (s *sink) Lost(n uint64)         { s.tell("lost %d", n) }
func (s *sink) SetLog(l oom.LogState) { s.tell("log %d", l) }
func (s *sink) Wake()                 {}
func (s *sink) Counted() int64        { return 0 }

const reportOf42 = `6,101,5000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=hog,pid=42,uid=0
3,102,5000001,-;Memory cgroup out of memory: Killed process 42 (hog) total-vm:65536kB, anon-rss:65000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:100kB oom_score_adj:0
6,103,5000002,-;Tasks in /a are going to be killed due to memory.oom.group set
3,104,5000003,-;Memory cgroup out of memory: Killed process 43 (hog) total-vm:65536kB, anon-rss:65000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:100kB oom_score_adj:0
3,108,5000003,-;Memory cgroup out of memory: Killed process 44 (hog) total-vm:65536kB, anon-rss:65000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:100kB oom_score_adj:0
`

// device writes a kernel log in the form of /dev/kmsg into a file.
func device(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// await waits until the sink has been told n things.
func (s *sink) await(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(s.all()) < n; {
		if time.Now().After(end) {
			t.Fatalf("only told %q", s.all())
		}
		<-time.After(time.Millisecond)
	}
}

func open(t *testing.T, o Options) *Feed {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDeviceFeedsTheSink(t *testing.T) {
	var s sink
	f := open(t, Options{Kmsg: device(t, reportOf42), KmsgMode: Auto, PageSize: 4096})
	f.Connect(&s)
	if f.PollLog() != nil {
		t.Error("a device needs no polling")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	want := []string{
		fmt.Sprintf("log %d", oom.LogBacklog),
		`kill 42 in "/a/b", record 102`, "group kill in /a", `kill 43 in "/a", record 104`, "lost 3", `kill 44 in "", record 108`,
		fmt.Sprintf("log %d", oom.LogLive),
	}
	s.await(t, len(want))
	if diff := cmp.Diff(want, s.all()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]oom.Source{{Name: "kmsg", Up: true}}, f.Sources()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
}

func TestModes(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "kmsg")
	for _, tt := range []struct {
		mode    Mode
		kmsg    string
		state   oom.LogState
		sources []oom.Source
		warned  bool
	}{
		{Off, device(t, ""), oom.LogAbsent, nil, false},
		{Auto, missing, oom.LogAbsent, nil, true},
		{Require, missing, oom.LogAbsent, []oom.Source{{Name: "kmsg"}}, true},
		{Require, device(t, ""), oom.LogBacklog, []oom.Source{{Name: "kmsg", Up: true}}, false},
	} {
		var said bytes.Buffer
		var s sink
		f := open(t, Options{Kmsg: tt.kmsg, KmsgMode: tt.mode, Logger: log.NewLogfmtLogger(&said)})
		f.Connect(&s)
		if diff := cmp.Diff([]string{fmt.Sprintf("log %d", tt.state)}, s.all()); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", tt.mode, tt.kmsg, diff)
		}
		if diff := cmp.Diff(tt.sources, f.Sources()); diff != "" {
			t.Errorf("%s, %s: sources (-want +got):\n%s", tt.mode, tt.kmsg, diff)
		}
		if warned := strings.Contains(said.String(), "remedy="); warned != tt.warned {
			t.Errorf("%s, %s: it says %q", tt.mode, tt.kmsg, said.String())
		}
	}
}

// A device that is only there later is read then, where it is required.
func TestARequiredDeviceThatComesLater(t *testing.T) {
	var s sink
	path := filepath.Join(t.TempDir(), "kmsg")
	f := open(t, Options{Kmsg: path, KmsgMode: Require, PageSize: 4096})
	f.Connect(&s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	s.await(t, 2) // that there is none, twice.
	if err := os.WriteFile(path, []byte(reportOf42), 0o600); err != nil {
		t.Fatal(err)
	}
	s.await(t, 4)
	if got := f.Sources(); len(got) != 1 || !got[0].Up {
		t.Errorf("sources %+v", got)
	}
	cancel()
	<-done
}

// The name of a cgroup in a new report is asked for before its runtime forgets
// it; one in the backlog is forgotten already.
func TestReportedCgroups(t *testing.T) {
	for _, backlog := range []bool{false, true} {
		var s sink
		var reported []string
		f := open(t, Options{KmsgMode: Off, PageSize: 4096, Reported: func(path string) { reported = append(reported, path) }})
		f.Connect(&s)
		for i, line := range strings.Split(strings.TrimSpace(reportOf42), "\n")[:2] {
			_, text, _ := strings.Cut(line, ";")
			f.record(kmsg.Record{Priority: 6, Seq: uint64(i), Text: text, Backlog: backlog})
		}
		var want []string
		if !backlog {
			want = []string{"/a/b"}
		}
		if diff := cmp.Diff(want, reported); diff != "" {
			t.Errorf("backlog %v (-want +got):\n%s", backlog, diff)
		}
	}
}

func TestReadLog(t *testing.T) {
	records, err := ReadLog(t.Context(), device(t, reportOf42))
	if err != nil || len(records) != 5 {
		t.Errorf("%d records, %v; want 5", len(records), err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := ReadLog(t.Context(), missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("error %v, want one that names %s", err, missing)
	}
	if _, err := LogAccess(t.Context(), missing); err == nil {
		t.Error("no error for a device that is not there")
	}
	path := device(t, "")
	if how, err := LogAccess(t.Context(), path); err != nil || how != path {
		t.Errorf("access %q, %v; want %s", how, err, path)
	}
}

// Lost trace events are counted, and told of once a minute at most.
func TestTraceLoss(t *testing.T) {
	var said bytes.Buffer
	f := open(t, Options{KmsgMode: Off, Logger: log.NewLogfmtLogger(&said)})
	if f.TraceEventsLost().IsSet() {
		t.Error("lost events without a trace")
	}
	f.traceStarted(oom.ByTracefs)
	if got := f.TraceEventsLost(); got != oom.Of(0) {
		t.Errorf("%v lost when the trace begins, want 0", got)
	}
	lost := f.traceLoss()
	for range 5 {
		lost(7)
	}
	f.traceStarted(oom.ByTracefs) // again, after it ended.
	if got := f.TraceEventsLost(); got != oom.Of(35) {
		t.Errorf("%v lost, want 35", got)
	}
	if n := strings.Count(said.String(), "trace events lost"); n != 1 {
		t.Errorf("told %d times: %s", n, said.String())
	}
}

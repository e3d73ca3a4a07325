// SPDX-License-Identifier: Apache-2.0

package causes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func web(n int) oom.Workload {
	return oom.Workload{Namespace: "shop", Pod: fmt.Sprintf("web-%d", n), Container: "app"}
}

func kill(id string, w oom.Workload) *oom.Kill { return &oom.Kill{ID: id, Workload: w} }

// sums adds up what is shown by cause.
func sums(s *Store, workloads ...oom.Workload) map[oom.Cause]uint64 {
	var living []oom.WorkloadKills
	for _, w := range workloads {
		living = append(living, oom.WorkloadKills{Workload: w})
	}
	out := map[oom.Cause]uint64{}
	for _, c := range s.Counts(living, func() ([]oom.WorkloadKills, []oom.Kill) { return living, nil }) {
		out[c.Cause] += c.Kills
	}
	return out
}

// saved runs a store until it has saved.
func saved(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err == nil {
		t.Fatal("Run ended without its context")
	}
}

func TestKillsCountOnce(t *testing.T) {
	s := New(Options{})
	leak := oom.Verdict{Cause: oom.CauseLeak, Grew: oom.MemoryAnon, Sentence: "grew"}
	for range 3 {
		s.Add(kill("b-1", web(1)), leak)
	}
	s.Add(kill("b-2", web(1)), oom.Verdict{Cause: oom.CauseBurst})
	s.Add(kill("", web(1)), leak)            // nothing tells it from others.
	s.Add(kill("b-3", oom.Workload{}), leak) // no workload is known.
	if got := sums(s, web(1)); got[oom.CauseLeak] != 1 || got[oom.CauseBurst] != 1 {
		t.Errorf("%v, want one leak and one burst", got)
	}
	if v, ok := s.Of("b-3"); !ok || v.Sentence != "grew" {
		t.Errorf("the verdict of a kill without a workload is %+v, %v", v, ok)
	}
	if _, ok := s.Of("b-9"); ok {
		t.Error("a verdict of a kill that never was")
	}
}

func TestLastCause(t *testing.T) {
	s := New(Options{})
	s.Add(kill("b-1", web(1)), oom.Verdict{Cause: oom.CauseLeak})
	s.Add(kill("b-2", web(1)), oom.Verdict{Cause: oom.CauseBurst})
	for _, c := range s.Counts([]oom.WorkloadKills{{Workload: web(1)}}, nil) {
		if c.Last != (c.Cause == oom.CauseBurst) {
			t.Errorf("%+v", c)
		}
	}
}

// TestRestarts shows that what was shown never falls: what is not saved is not
// shown, and what is saved comes back.
func TestRestarts(t *testing.T) {
	o := Options{File: filepath.Join(t.TempDir(), "verdicts"), BootID: "boot"}
	s := New(o)
	s.Add(kill("b-1", web(1)), oom.Verdict{Cause: oom.CauseLeak, Sentence: "grew"})
	if got := sums(s, web(1)); len(got) != 0 {
		t.Errorf("%v is shown before it is saved", got)
	}
	saved(t, s)
	if got := sums(s, web(1)); got[oom.CauseLeak] != 1 {
		t.Errorf("%v after the save", got)
	}
	s.Add(kill("b-2", web(1)), oom.Verdict{Cause: oom.CauseBurst})
	// Here it is ended by SIGKILL.
	s = New(o)
	if got := sums(s, web(1)); got[oom.CauseLeak] != 1 || len(got) != 1 {
		t.Errorf("%v after the restart", got)
	}
	if v, ok := s.Of("b-1"); !ok || v.Sentence != "grew" {
		t.Errorf("the verdict after the restart is %+v, %v", v, ok)
	}
	missing := s.Missing([]oom.Kill{*kill("b-1", web(1)), *kill("b-2", web(1)), {ID: "b-h7", History: true}, {}})
	if len(missing) != 1 || missing[0].ID != "b-2" {
		t.Errorf("%v were not counted, want b-2", missing)
	}
	if got := sums(New(Options{File: o.File, BootID: "another"}), web(1)); len(got) != 0 {
		t.Errorf("%v of another boot", got)
	}
}

func TestBrokenFile(t *testing.T) {
	for _, content := range []string{"", "{", `{"version":9,"boot":"boot"}`, `{"version":1,"boot":"boot","kills":[{"id":"b-1"},{"id":"b-1"}]}`} {
		o := Options{File: filepath.Join(t.TempDir(), "verdicts"), BootID: "boot"}
		if err := os.WriteFile(o.File, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := New(o)
		s.Add(kill("b-7", web(1)), oom.Verdict{Cause: oom.CauseLeak})
		saved(t, s)
		if got := sums(New(o), web(1)); got[oom.CauseLeak] != 1 {
			t.Errorf("after %q: %v", content, got)
		}
	}
}

// TestUnwritableFile shows all that it has, as nothing waits for a save.
func TestUnwritableFile(t *testing.T) {
	s := New(Options{File: filepath.Join(t.TempDir(), "no", "verdicts"), BootID: "boot"})
	s.Add(kill("b-1", web(1)), oom.Verdict{Cause: oom.CauseLeak})
	saved(t, s)
	if got := sums(s, web(1)); got[oom.CauseLeak] != 1 {
		t.Errorf("%v", got)
	}
}

func TestEvictedAndRenamed(t *testing.T) {
	s := New(Options{})
	s.Add(kill("b-1", web(1)), oom.Verdict{Cause: oom.CauseLeak})
	s.Add(kill("b-2", oom.Workload{Container: "0123456789ab"}), oom.Verdict{Cause: oom.CauseBurst})
	living := []oom.WorkloadKills{{Workload: web(2)}}
	got := s.Counts(living, func() ([]oom.WorkloadKills, []oom.Kill) { return living, []oom.Kill{*kill("b-2", web(2))} })
	if len(got) != 1 || got[0].Workload != web(2) || got[0].Cause != oom.CauseBurst || got[0].Kills != 1 {
		t.Errorf("%+v, want the burst under its name and no leak", got)
	}
}

// TestKillAfterTheLook shows that a kill between the caller's look at the ledger
// and the count is not taken for one of an evicted workload.
func TestKillAfterTheLook(t *testing.T) {
	s := New(Options{})
	s.Add(kill("b-1", web(1)), oom.Verdict{Cause: oom.CauseLeak})
	now := []oom.WorkloadKills{{Workload: web(1)}}
	s.Counts(nil, func() ([]oom.WorkloadKills, []oom.Kill) { return now, nil })
	if got := sums(s, web(1)); got[oom.CauseLeak] != 1 {
		t.Errorf("%v, want the leak", got)
	}
}

func TestBounds(t *testing.T) {
	s := New(Options{})
	const n = 3 * maxKills
	for i := range n {
		s.Add(kill(fmt.Sprint(i), web(1)), oom.Verdict{Cause: oom.CauseLeak, Sentence: "grew"})
	}
	if len(s.kills) != maxKills || len(s.place) != maxKills {
		t.Errorf("%d kills and %d places are kept, want %d", len(s.kills), len(s.place), maxKills)
	}
	if got := sums(s, web(1)); got[oom.CauseLeak] != n {
		t.Errorf("%v, want %d", got, n)
	}
	if last := s.Counts([]oom.WorkloadKills{{Workload: web(1)}}, nil); len(last) != 1 || !last[0].Last {
		t.Errorf("%+v, want the last cause", last)
	}
	s.Add(kill("of another", web(2)), oom.Verdict{Cause: oom.CauseBurst})
	whole := 0
	for i := range n {
		if v, ok := s.Of(fmt.Sprint(i)); ok && v.Sentence != "" {
			whole++
		}
	}
	if whole != maxVerdicts-1 {
		t.Errorf("%d whole verdicts, want %d", whole, maxVerdicts-1)
	}
}

// hostileFiles are what somebody may write who may write to the directory.
func hostileFiles() map[string]string {
	w := `{"Namespace":"shop","Pod":"web-1","Container":"app"}`
	return map[string]string{
		"a sum that wraps":   `{"version":1,"boot":"boot","counts":[{"workload":` + w + `,"cause":"leak","grew":"anon","kills":18446744073709551615},{"workload":` + w + `,"cause":"leak","grew":"anon","kills":2}]}`,
		"too many kills":     `{"version":1,"boot":"boot","counts":[{"workload":` + w + `,"cause":"leak","grew":"anon","kills":1099511627777}]}`,
		"an unknown cause":   `{"version":1,"boot":"boot","counts":[{"workload":` + w + `,"cause":"leak\n","grew":"anon","kills":1}]}`,
		"an unknown memory":  `{"version":1,"boot":"boot","counts":[{"workload":` + w + `,"cause":"leak","grew":"everything","kills":1}]}`,
		"a verdict of none":  `{"version":1,"boot":"boot","kills":[{"id":"b-1","workload":` + w + `,"verdict":{"Cause":"x"}}]}`,
		"many short entries": `{"version":1,"boot":"boot","kills":[{}` + strings.Repeat(",{}", maxFile/3-100) + `]}`,
	}
}

// TestHostileFiles: what can't have been saved here is refused, before it takes more
// memory than the file.
func TestHostileFiles(t *testing.T) {
	for name, content := range hostileFiles() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := parseState([]byte(content)); err == nil {
				t.Error("it was taken")
			}
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4*maxFile {
				t.Errorf("%d MiB allocated", allocated>>20)
			}
		})
	}
}

// FuzzState reads files of anybody's making, and goes on from those that are taken.
func FuzzState(f *testing.F) {
	for _, content := range hostileFiles() {
		if len(content) < 1000 {
			f.Add([]byte(content))
		}
	}
	f.Add([]byte(`{"version":1,"boot":"boot","counts":[{"workload":{"Container":"app"},"cause":"leak","grew":"anon","kills":3,"last":true}],"kills":[{"id":"b-1","workload":{"Container":"app"},"verdict":{"Cause":"leak"}}]}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseState(b)
		if err != nil {
			return
		}
		o := Options{File: filepath.Join(dir, "verdicts"), BootID: st.Boot}
		if err := os.WriteFile(o.File, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := New(o)
		if len(s.kills) > maxKills {
			t.Errorf("%d kills are remembered", len(s.kills))
		}
		for k, n := range s.counts {
			if n > maxCount*uint64(len(st.Counts)) {
				t.Errorf("%+v has %d kills", k, n)
			}
		}
	})
}

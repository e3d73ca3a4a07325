// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

func corpusReports(t *testing.T) []oomlog.Report {
	t.Helper()
	files, err := filepath.Glob(corpus + "*.kmsg.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all []oomlog.Report
	for _, file := range files {
		if strings.Contains(file, "seek") {
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		c := newCollector(testOptions())
		if _, err := (Input{Open: func() (io.ReadCloser, error) { return f, nil }}).read(c, testOptions()); err != nil {
			t.Fatal(file, err)
		}
		all = append(all, c.finish()...)
	}
	return all
}

// encode writes and reads a document.
func encode(t *testing.T, d Document) Document {
	t.Helper()
	var out bytes.Buffer
	if err := JSON(&out, d); err != nil {
		t.Fatal(err)
	}
	back, err := Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestJSONRoundTrip(t *testing.T) {
	kills := []oom.Kill{{
		Time: time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.UTC), Approximate: true, Uptime: 2513716508 * time.Microsecond,
		Seq: 1 << 60, Constraint: oom.ConstraintMemcg, Level: oom.LevelPod, LimitPath: "/p", VictimPath: "/p/c",
		Workload: oom.Workload{Namespace: "shop", Pod: "web-0", Container: "app"},
		Victim: oom.Victim{
			PID: 12, TGID: 11, Comm: "é<&>", UID: oom.Of(0), TotalVM: oom.Of(1), AnonRSS: oom.Of(2), FileRSS: oom.Of(3),
			ShmemRSS: oom.Of(0), PageTables: oom.Of(4), Swap: oom.Of(5), Adj: -998, AdjKnown: true,
		},
		Trigger: &oom.Trigger{Comm: "t", PID: 9, GFPMask: "0xcc0(GFP_KERNEL)", Order: -1, Adj: 3, CPUSetPath: "/x"},
		Usage:   oom.Of(7), Limit: oom.Of(8),
		GroupKill: true, Duplicate: true, Sysrq: true, Allocating: true, Partial: true, History: true, Global: true, Evidence: "scan",
	}, {}, {Victim: oom.Victim{PID: 1, AdjKnown: true}}}
	for _, r := range corpusReports(t) {
		kills = append(kills, r.Kills...)
	}
	back := encode(t, FromKills(kills))
	if len(back.Kills) != len(kills) {
		t.Fatalf("%d kills, want %d", len(back.Kills), len(kills))
	}
	for i, want := range kills {
		want.Victim.Comm = Clean(want.Victim.Comm, maxComm)
		if want.Trigger != nil {
			t := *want.Trigger
			t.Comm = Clean(t.Comm, maxComm)
			want.Trigger = &t
		}
		if diff := cmp.Diff(want, back.Kills[i].OOM(), cmp.Comparer(func(a, b oom.Amount) bool { return a == b })); diff != "" {
			t.Errorf("kill %d: -want +got:\n%s", i, diff)
		}
	}
}

func TestJSONReports(t *testing.T) {
	reports := corpusReports(t)
	d := FromReports(reports)
	back := encode(t, d)
	if diff := cmp.Diff(d, back); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, k := range back.Kills {
		if k.Report < 1 || k.Report > len(reports) || back.Reports[k.Report-1].ID != k.Report {
			t.Fatalf("kill %d is of report %d", k.Seq, k.Report)
		}
	}
	if golden := encode(t, FromReports(nil)); golden.Kills == nil || golden.Schema != "oom_exporter/v1" {
		t.Errorf("an empty document has %+v", golden)
	}
}

func TestJSONGolden(t *testing.T) {
	opts := testOptions()
	opts.Format = "json"
	golden(t, "centos7.json", explain(t, "testdata/centos7-memcg.log", opts))
}

// What is streamed is what JSON makes of the whole document.
func TestWriteKills(t *testing.T) {
	kills := []oom.Kill{{}, {Victim: oom.Victim{PID: 7, Comm: "<a&b>", UID: oom.Of(0)}, Trigger: &oom.Trigger{Comm: "\n"}}, {ID: "a-1", Seq: 3}}
	verdict := func(string) (oom.Verdict, bool) {
		return oom.Verdict{Cause: oom.CauseLeak, Sentence: "It <grew>."}, true
	}
	for n := range len(kills) + 1 {
		for _, omitted := range []int{0, 5} {
			d := FromKills(kills[:n])
			d.Omitted = omitted
			d.AddVerdicts(verdict)
			var whole, streamed bytes.Buffer
			if err := errors.Join(JSON(&whole, d), WriteKills(&streamed, kills[:n], omitted, verdict)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole.String(), streamed.String()); diff != "" {
				t.Errorf("%d kills, %d omitted (-whole +streamed):\n%s", n, omitted, diff)
			}
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, in := range []string{"", "{}", `{"schema":"oom_exporter/v2","kills":[]}`, `{"schema":"oom_exporter/v1","kills":7}`} {
		if d, err := Decode(strings.NewReader(in)); err == nil {
			t.Errorf("Decode(%q) = %+v", in, d)
		}
	}
}

// Every field is documented, and nothing else.
func TestSchemaDocumentation(t *testing.T) {
	b, err := os.ReadFile("../../docs/kills-schema.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	section := ""
	for line := range strings.Lines(string(b)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(title)
		}
		if m := regexp.MustCompile("^\\| `([a-z0-9_]+)` \\|").FindStringSubmatch(line); m != nil {
			documented[section+"."+m[1]] = true
		}
	}
	for _, typ := range []any{Document{}, Kill{}, Victim{}, Trigger{}, Report{}, Usage{}, Node{}, Task{}, Exiting{}, Verdict{}, TaskGrowth{}, GroupGrowth{}, Series{}, Point{}, Advice{}} {
		v := reflect.TypeOf(typ)
		for field := range v.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			key := v.Name() + "." + name
			if !documented[key] {
				t.Errorf("%s is not documented", key)
			}
			delete(documented, key)
		}
	}
	for key := range documented {
		t.Errorf("%s is documented, but does not exist", key)
	}
}

// Names of fields are the same everywhere.
func TestFieldNames(t *testing.T) {
	for _, typ := range []any{Document{}, Kill{}, Victim{}, Trigger{}, Report{}, Usage{}, Node{}, Task{}, Exiting{}, Verdict{}, TaskGrowth{}, GroupGrowth{}, Series{}, Point{}, Advice{}} {
		b, err := json.Marshal(typ)
		if err != nil || !json.Valid(b) {
			t.Error(err)
		}
		v := reflect.TypeOf(typ)
		for f := range v.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(name) {
				t.Errorf("%s.%s is called %q", v.Name(), f.Name, name)
			}
			if f.Type == reflect.TypeFor[*uint64]() && !strings.HasSuffix(name, "_bytes") && name != "uid" && name != "failcnt" {
				t.Errorf("%s.%s has no unit in %q", v.Name(), f.Name, name)
			}
		}
	}
}

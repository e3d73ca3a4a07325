// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// begun is when the exporters of these tests began.
func begun() time.Time { return time.Unix(1_700_000_150, 0) }

func TestGoldenOpenMetrics(t *testing.T) {
	h := fullHost()
	h.totals.Evicted = 0
	s := New(h, Options{Kills: h, Recorder: h, Now: begun})
	text := encoded(t, s, Request{}, expfmt.NewFormat(expfmt.TypeOpenMetrics), expfmt.WithCreatedLines())
	golden(t, "default.openmetrics", text)
	checkOpenMetrics(t, text)
	all := New(h, Options{Kills: h, Recorder: h, Now: begun, Advice: someAdvice, Enable: regexp.MustCompile(".*")})
	checkOpenMetrics(t, encoded(t, all, Request{}, expfmt.NewFormat(expfmt.TypeOpenMetrics)))
}

var (
	metadata = regexp.MustCompile(`^# (HELP|TYPE) ([a-z][a-z0-9_]*) (.*)$`)
	sampled  = regexp.MustCompile(`^([a-z][a-z0-9_]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$`)
)

// checkOpenMetrics holds a text against the rules of OpenMetrics 1.0 that the
// older text format does not have.
func checkOpenMetrics(t *testing.T, text string) {
	t.Helper()
	body, found := strings.CutSuffix(text, "# EOF\n")
	if !found || strings.Contains(body, "# EOF") {
		t.Fatal("the text does not end with # EOF")
	}
	family, typ, seen := "", "", map[string]bool{}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if m := metadata.FindStringSubmatch(line); m != nil {
			if m[2] != family {
				if family, typ = m[2], ""; seen[family] {
					t.Errorf("family %s is in two places", family)
				}
				seen[family] = true
			}
			if m[1] == "TYPE" {
				typ = m[3]
			}
			continue
		}
		m := sampled.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %q", line)
			continue
		}
		suffix, ours := strings.CutPrefix(m[1], family)
		if allowed := map[string]string{"gauge": "", "counter": "_total _created"}[typ]; !ours || typ == "" || !strings.Contains(allowed, suffix) || suffix == "" && typ == "counter" {
			t.Errorf("%s is no sample of the %s %s", m[1], typ, family)
		}
		if _, err := strconv.ParseFloat(m[3], 64); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// created returns the created timestamps of a family's counters, as protobuf has
// them, and how many have none.
func created(t *testing.T, s *Set, family string) (at []time.Time, none int) {
	t.Helper()
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	dec := expfmt.NewDecoder(bytes.NewReader([]byte(encoded(t, s, Request{}, format))), format)
	for {
		var mf dto.MetricFamily
		if err := dec.Decode(&mf); err != nil {
			return at, none
		}
		for _, m := range mf.GetMetric() {
			if mf.GetName() != family {
				continue
			}
			if c := m.GetCounter().GetCreatedTimestamp(); c != nil {
				at = append(at, c.AsTime())
			} else {
				none++
			}
		}
	}
}

// TestCreatedTimestamps are there where it is known since when a counter counts,
// and only there.
func TestCreatedTimestamps(t *testing.T) {
	h := fullHost()
	epoch, boot := h.totals.Epoch, h.node.BootTime
	s := New(h, Options{Kills: h, Recorder: h, Now: begun, Profile: ProfileFull})
	want := func(family string, since time.Time) {
		t.Helper()
		at, none := created(t, s, family)
		if since.IsZero() && len(at) > 0 || !since.IsZero() && (none > 0 || len(at) == 0) || len(at)+none == 0 {
			t.Errorf("%s: %d with a time, %d without; want all since %v", family, len(at), none, since)
		}
		for _, c := range at {
			if !c.Equal(since) {
				t.Errorf("%s is since %v, want %v", family, c, since)
			}
		}
	}
	unknown := time.Time{}
	h.totals.Evicted = 0
	want("oom_kills_total", epoch)
	want("oom_container_kills_total", epoch)
	want("oom_node_kills_total", boot)
	want("oom_exporter_skipped_total", begun())
	want("oom_container_pressure_stalled_seconds_total", unknown)
	want("oom_container_kill_causes_total", unknown)
	want("oom_kmsg_records_lost_total", unknown)

	h.totals.Evicted = 1 // who comes back begins at 0 again.
	want("oom_container_kills_total", unknown)
	want("oom_container_survived_kills_total", unknown)
	want("oom_kills_total", epoch)

	h.totals.Epoch = unknown // counting has not begun.
	want("oom_kills_total", unknown)
	h.node.BootTime = unknown
	want("oom_node_kills_total", unknown)
	h.totals = oom.KillTotals{Epoch: epoch.Add(time.Hour)}
	want("oom_container_kills_total", epoch.Add(time.Hour))
}

// TestEveryCounterOfKillsSaysSince notes when a counter is added without thought
// to its epoch.
func TestEveryCounterOfKillsSaysSince(t *testing.T) {
	unknown := []string{
		"oom_container_limit_hits_total", "oom_container_high_hits_total", // of the cgroups that the workload has now.
		"oom_container_pressure_waiting_seconds_total", "oom_container_pressure_stalled_seconds_total",
		"oom_container_kill_causes_total",                            // kept in a file of their own.
		"oom_pod_limit_kills_total",                                  // dropped without being counted.
		"oom_kmsg_records_lost_total", "oom_trace_events_lost_total", // reading begins before counting.
		"oom_recorder_samples_total", "oom_recorder_full_samples_total", "oom_recorder_recordings_dropped_total",
	}
	for _, f := range allFamilies() {
		if f.typ != counter && f.since != epochUnknown {
			t.Errorf("%s is no counter", f.name)
		}
		listed := false
		for _, name := range unknown {
			listed = listed || name == f.name
		}
		if f.typ == counter && listed != (f.since == epochUnknown) {
			t.Errorf("%s: epoch known %v, listed as unknown %v", f.name, f.since != epochUnknown, listed)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func someKills() []oom.Kill {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	return []oom.Kill{
		{
			Time: at, Level: oom.LevelPod, Limit: oom.Of(64 << 20), Usage: oom.Of(64 << 20), Constraint: "MEMCG", Evidence: "report",
			Workload:  oom.Workload{Namespace: "shop", Pod: "web-0", Container: "app"},
			LimitPath: "/p", VictimPath: "/p/c",
			Victim: oom.Victim{
				PID: 12, Comm: "nl\nx", UID: oom.Of(0), AnonRSS: oom.Of(60 << 20), FileRSS: oom.Of(1 << 20), ShmemRSS: oom.Of(0),
				Swap: oom.Of(0), Adj: 3, AdjKnown: true,
			},
			Trigger: &oom.Trigger{Comm: "t", PID: 9},
		},
		{Time: at, Approximate: true, VictimPath: "/h2", Global: true, Sysrq: true, History: true, Victim: oom.Victim{PID: 13, Comm: "y"}},
		{Uptime: 2513716508 * time.Microsecond, GroupKill: true, Duplicate: true, Partial: true, Allocating: true, Victim: oom.Victim{PID: 14}},
		{},
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := Table(&out, FromKills(someKills()).Kills, testOptions()); err != nil {
		t.Fatal(err)
	}
	want := `
TIME                      WORKLOAD        PID  PROCESS  RSS       LIMIT OF        NOTE
2026-11-21 10:00:00 UTC   shop/web-0/app  12   nl\x0ax  61.0 MiB  pod (64.0 MiB)
~2026-11-21 10:00:00 UTC  /h2             13   y        ?         node            sysrq, history
boot+2513.717s            -               14   -        ?         unknown         group, duplicate, allocating task, partial
-                         -               0    -        ?         unknown
`
	var got strings.Builder
	for line := range strings.Lines(out.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLogFields(t *testing.T) {
	for i, want := range []string{
		`namespace=shop pod=web-0 container=app pid=12 comm=nl\x0ax level=pod constraint=MEMCG limit_cgroup=/p victim_cgroup=/p/c ` +
			`usage_bytes=67108864 limit_bytes=67108864 anon_rss_bytes=62914560 file_rss_bytes=1048576 shmem_rss_bytes=0 swap_bytes=0 ` +
			`oom_score_adj=3 uid=0 trigger=t trigger_pid=9 evidence=report killed_at=2026-11-21T10:00:00Z`,
		`pid=13 comm=y level=unknown victim_cgroup=/h2 sysrq=true killed_at=2026-11-21T10:00:00Z time_approximate=true`,
		`pid=14 comm= level=unknown group_kill=true duplicate=true allocating_task=true partial=true`,
		`pid=0 comm= level=unknown`,
	} {
		kill := someKills()[i]
		fields := LogFields(&kill)
		var words []string
		for j := 0; j < len(fields); j += 2 {
			words = append(words, fmt.Sprintf("%v=%v", fields[j], fields[j+1]))
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("kill %d:\n%s\nwant\n%s", i, got, want)
		}
	}
}

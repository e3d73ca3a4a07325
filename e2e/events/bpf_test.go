// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// named is a storm in groups that are made for one kill each and removed with it,
// with BPF or without, with the kernel log or without.
type named struct {
	bpf, log string
	busy     int // processes that take all the CPU time they get.
}

// TestBPFKills kills in groups that are gone some milliseconds after they were
// made. With BPF each kill has its container, its process and its sizes, whatever
// the log says; without, few have.
func TestBPFKills(t *testing.T) { newBench(t).bpfKills(t) }

func (b *bench) bpfKills(t *testing.T) {
	var rows strings.Builder
	for _, s := range []named{{"require", "off", 0}, {"require", "off", 8}, {"off", "off", 0}, {"require", "auto", 0}, {"off", "auto", 0}} {
		if !full() && (s.log == "auto" || b.stretch > 1 && (s.busy > 0 || s.bpf == "off")) {
			continue
		}
		t.Run(fmt.Sprintf("bpf=%s,log=%s,busy=%d", s.bpf, s.log, s.busy), func(t *testing.T) { rows.WriteString(b.bpfRow(t, s)) })
	}
	b.evidence(t, "bpf-kills", "# Victims by BPF, in groups that live for milliseconds\n\n"+
		"150 containers, each made for one process that runs into its limit, and removed when the process is dead; once beside eight processes that take all the CPU time they get. "+
		"With the log off the exporter runs with `--events.kmsg=off`. Named is what oom_container_kills_total has for the right container. A record of /api/v1/kills is right when it has the process id, "+
		"the name and the container of a real kill; and whole when it has the victim's anonymous memory and the task whose allocation was the reason, too.\n\n"+b.by("TestBPFKills")+
		"| BPF | log | busy | life, median | 90 % | vmstat | counted / true | named / true | wrong | no name | records right | whole | events lost | CPU a kill |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"+rows.String())
}

func (b *bench) bpfRow(t *testing.T, s named) string {
	const n = 150
	e := lab.StartExporter(t, "--source.bpf="+s.bpf, "--events.kmsg="+s.log)
	before := b.baseline(t, e)
	p := b.pod(t, lab.Unlimited)
	for range s.busy {
		lab.Start(t, exec.Command("sh", "-c", "while :; do :; done"))
	}
	plan := make([]lab.Death, n)
	for i := range plan {
		plan[i] = lab.Death{At: b.slow(3*time.Second) * time.Duration(i) / n, Comm: b.comm(), Path: b.name(p).path}
	}
	deaths, d, truth, cpu := b.counted(t, e, before, plan)
	named, wrong := d.right(deaths)
	right, whole := rightRecords(t, e, deaths)
	after := e.Scrape(t)
	lost := after.Sum("oom_trace_events_lost_total")
	if s.bpf != "off" && !after.Has("oom_process_source_info", "source", "bpf") {
		t.Errorf("the processes are not listed by BPF:\n%s", e.Output())
	}
	if s.bpf != "off" && (named != n || wrong != 0 || right != n || whole != n || lost != 0) {
		t.Errorf("of %d kills %v named, %v for a wrong container, %d records right, %d whole, %v events lost\n%s", n, named, wrong, right, whole, lost, d.explain(deaths))
	}
	slices.SortFunc(deaths, func(a, b lab.Death) int { return int(a.Gone - b.Gone) })
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	return fmt.Sprintf("| %s | %s | %d | %.1f ms | %.1f ms | %.0f | %.3f | %.3f | %.0f | %.0f | %d | %d | %.0f | %.2f ms |\n", onOff(s.bpf != "off"), onOff(s.log != "off"), s.busy,
		ms(deaths[n/2].Gone), ms(deaths[n*9/10].Gone), truth, d.counted()/truth, named/n, wrong, d.unattributed, right, whole, lost, ms(cpu)/n)
}

// rightRecords tells how many of the deaths have a record with pid, comm and
// container, and how many of these have sizes and the trigger.
func rightRecords(t *testing.T, e *lab.Exporter, deaths []lab.Death) (right, whole int) {
	t.Helper()
	var document struct {
		Kills []struct {
			Pod, Container string
			Victim         struct {
				PID     int
				Comm    string
				AnonRSS uint64 `json:"anon_rss_bytes"`
			}
			Trigger *struct{ PID int }
		}
	}
	if err := json.Unmarshal([]byte(lab.Get(t, e.URL+"/api/v1/kills")), &document); err != nil {
		t.Fatal(err)
	}
	for _, d := range deaths {
		for _, k := range document.Kills {
			if k.Victim.PID != d.PID || k.Victim.Comm != d.Comm || (key{k.Pod, k.Container}) != keyOf(d.Path) {
				continue
			}
			right++
			if k.Victim.AnonRSS > 0 && k.Trigger != nil {
				whole++
			}
			break
		}
	}
	return right, whole
}

// TestBPFRights runs the exporter as nobody with no way to more rights: with both
// capabilities it names all victims, and has given them up by then; with fewer it
// says which are missing, and goes on by the files or does not start.
func TestBPFRights(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		capabilities []string
		missing      string
	}{
		{[]string{"bpf", "perfmon"}, ""},
		{[]string{"bpf"}, "CAP_PERFMON missing"},
		{[]string{"perfmon"}, "CAP_BPF missing"},
		{nil, "CAP_BPF and CAP_PERFMON missing"},
	} {
		t.Run(strings.Join(tt.capabilities, ","), func(t *testing.T) {
			if tt.missing != "" {
				p := lab.Start(t, lab.Capable(t, lab.FreePort(t), tt.capabilities, "--source.bpf=require"))
				if status := p.Wait(t, 30*time.Second); status.ExitStatus() != 1 || !strings.Contains(p.Output(), tt.missing) {
					t.Errorf("required: it ended with %d and printed %s", status.ExitStatus(), p.Output())
				}
			}
			port := lab.FreePort(t)
			e := lab.AwaitExporter(t, lab.Start(t, lab.Capable(t, port, tt.capabilities, "--source.bpf=auto", "--events.kmsg=off")), port)
			b.baseline(t, e)
			up := e.Scrape(t).Value(t, "oom_event_source_up", "source", "bpf")
			if lines := strings.Count(e.Output(), "BPF can't be used"); tt.missing != "" {
				if up != 0 || lines != 1 || !strings.Contains(e.Output(), tt.missing) {
					t.Errorf("up %v, told %d times:\n%s", up, lines, e.Output())
				}
				return
			}
			if up != 1 {
				t.Fatalf("up %v:\n%s", up, e.Output())
			}
			if !e.Scrape(t).Has("oom_process_source_info", "source", "bpf") {
				t.Errorf("the processes are not listed by BPF:\n%s", e.Output())
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.PID))
			if err != nil || !strings.Contains(string(status), "\nCapEff:\t0000000000000000\n") {
				t.Errorf("it has capabilities left: %v\n%s", err, status)
			}
			before := b.settled(t, e, readBooks(t, e))
			p := b.pod(t, lab.Unlimited)
			plan := make([]lab.Death, 20)
			for i := range plan {
				plan[i] = lab.Death{At: time.Duration(i) * 20 * time.Millisecond, Comm: b.comm(), Path: b.name(p).path}
			}
			deaths, _ := b.storm(t, plan)
			d := b.settled(t, e, before).since(before)
			if named, wrong := d.right(deaths); named != float64(len(plan)) || wrong != 0 {
				t.Errorf("%v of %d kills named, %v for a wrong container\n%s", named, len(plan), wrong, d.explain(deaths))
			}
		})
	}
}

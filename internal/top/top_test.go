// SPDX-License-Identifier: Apache-2.0

package top

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

var update = flag.Bool("update", false, "write the golden files anew")

const mib = 1 << 20

func container(ns, pod, name string, margin oom.Margin, limit oom.Amount, unreclaimable uint64) oom.Row {
	return oom.Row{
		Group: &oom.Group{
			GroupID:  oom.GroupID{Path: "/" + name},
			Identity: oom.Identity{Workload: oom.Workload{Namespace: ns, Pod: pod, Container: name}, QoS: oom.QoSBurstable},
			Limit:    limit,
		},
		Margin: margin, Unreclaimable: oom.Of(unreclaimable),
		Processes: oom.ProcessSummary{Known: true, Adj: true, AdjMax: 900},
	}
}

func frame() *Frame {
	java := oom.ProcessRow{
		Process:  oom.Process{PID: 1101, Comm: "java", Adj: 900, Score: oom.Of(1386), RSS: 900 * mib, Swap: 3 * mib},
		Workload: oom.Workload{Namespace: "shop", Pod: "web-0", Container: "app"}, Badness: -9 * mib,
	}
	evil := java
	evil.PID, evil.Comm = 6, "\x1b[31mred\n\xff"
	odd := container("", "", "/a/very/long/path/of/a/group/that/has/no/name/worker", oom.Margin{}, oom.Unlimited(), 3*mib)
	wrong := container("jobs", "batch", "b", oom.Margin{Bytes: 900 * mib, Ratio: 0.5, Level: oom.LevelNode, Known: true}, oom.Amount{}, 20*mib)
	wrong.QoS, wrong.Processes.Mismatch = oom.QoSBestEffort, oom.Of(1)
	return &Frame{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Host: "node1",
		Request: func(r *oom.Row) oom.Amount {
			if r.QoS != oom.QoSBurstable {
				return oom.Amount{}
			}
			return oom.Of(2048 * mib * uint64(1000-r.Processes.AdjMax) / 1000)
		},
		Node: &oom.NodeState{
			Node:              oom.Node{Total: oom.Of(2048 * mib), OOMKills: oom.Of(12), PanicOnOOM: oom.Of(0), KillAllocatingTask: oom.Of(0)},
			Margin:            oom.Margin{Bytes: 900 * mib, Ratio: 0.4394, Level: oom.LevelNode, Known: true},
			EvictionAvailable: oom.Of(90 * mib), EvictionThreshold: oom.Of(100 * mib),
		},
		Groups: &oom.Groups{Containers: []oom.Row{
			wrong, odd,
			container("shop", "web-0", "app", oom.Margin{Bytes: 20 * mib, Ratio: 0.02, Level: oom.LevelPod, Cgroup: "/pod", Known: true}, oom.Of(990*mib), 950*mib),
			container("shop", "web-0", "proxy", oom.Margin{Bytes: 9 * mib, Ratio: 0.09, Level: oom.LevelContainer, Cgroup: "/proxy", Known: true}, oom.Of(100*mib), 91*mib),
		}},
		Processes: &oom.Processes{
			Top: []oom.ProcessRow{java, evil}, Unkillable: oom.Of(7 * mib),
			Victims: []oom.NextVictim{
				{Scope: oom.LevelNode, Process: java, All: 2},
				{Scope: oom.LevelPod, Cgroup: "/pod", Process: java, Tie: true},
				{Scope: oom.LevelContainer, Cgroup: "/proxy"},
			},
		},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", path, d)
	}
}

func TestOnceAgainstGoldenFiles(t *testing.T) {
	golden(t, "80.txt", Once(frame(), Options{Width: 80}))
	golden(t, "unbounded.txt", Once(frame(), Options{}))
	golden(t, "120.txt", Once(frame(), Options{Width: 120}))
	golden(t, "color.txt", Render(frame(), Options{Width: 80, Color: true, Height: 12, Cursor: 1, Status: "status"}))
	golden(t, "keys.txt", renderKeys(Options{Width: 80, Status: "status"}))
	golden(t, "details.txt", renderDetails(frame(), oom.Workload{Namespace: "shop", Pod: "web-0", Container: "app"}, Options{Width: 80, Status: "status"}))
}

func TestNoLineIsWiderThanTheTerminal(t *testing.T) {
	for _, width := range []int{40, 60, 80, 99, 100, 132, 200} {
		for pane := range panes {
			for line := range strings.Lines(Render(frame(), Options{Width: width, Pane: pane})) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("width %d, %v: %d columns: %q", width, pane, n, line)
				}
			}
		}
	}
}

func TestNoFrameIsTallerThanTheTerminal(t *testing.T) {
	for height := 10; height < 20; height++ {
		text := Render(frame(), Options{Height: height, Status: "status"})
		if n := strings.Count(text, "\n"); n > height {
			t.Errorf("height %d: %d lines", height, n)
		}
	}
}

func TestHostileNamesReachNoTerminal(t *testing.T) {
	text := Once(frame(), Options{})
	if strings.Contains(text, "\x1b") || !utf8.ValidString(text) {
		t.Errorf("control characters in %q", text)
	}
}

func TestOrders(t *testing.T) {
	f := frame()
	for order, want := range map[Order]string{
		ByRatio: "app proxy b worker", ByMargin: "proxy app b worker", ByUsage: "app proxy b worker", ByName: "worker b app proxy",
	} {
		var got []string
		for _, r := range f.containers(Options{Order: order}) {
			got = append(got, r.Workload.Container[strings.LastIndexByte(r.Workload.Container, '/')+1:])
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("by %v: %s, want %s", order, s, want)
		}
	}
}

// TestNodeBoundComeLast: what only the node binds does not push down what has
// a limit, however little the node has left.
func TestNodeBoundComeLast(t *testing.T) {
	f := frame()
	for i := range f.Groups.Containers {
		if r := &f.Groups.Containers[i]; r.Margin.Level == oom.LevelNode {
			r.Margin.Ratio, r.Margin.Bytes = 0.001, 1
		}
	}
	for _, order := range []Order{ByRatio, ByMargin} {
		rows := f.containers(Options{Order: order})
		if rows[0].Margin.Level == oom.LevelNode || rows[2].Margin.Level != oom.LevelNode {
			t.Errorf("by %v: %v, %v, %v", order, rows[0].Workload, rows[1].Workload, rows[2].Workload)
		}
	}
	first, last := f.containers(Options{}), f.containers(Options{Reverse: true})
	if first[0] != last[len(last)-1] {
		t.Error("reversed is not the other way round")
	}
}

// TestFigureAndBar: both tell how much is used.
func TestFigureAndBar(t *testing.T) {
	for ratio, want := range map[float64]string{0: "100% [########]", 0.02: " 98% [########]", 0.5: " 50% [####....]", 1: "  0% [........]", 2: "  0% [........]"} {
		if got := used(ratio); got != want {
			t.Errorf("%v left: %q, want %q", ratio, got, want)
		}
	}
}

// TestNamesAreCutInTheMiddle keeps whose it is and what it is.
func TestNamesAreCutInTheMiddle(t *testing.T) {
	if got := fitMiddle("namespace/some-long-pod-name-7d4f9/container", 24); got != "namespa~-7d4f9/container" {
		t.Errorf("cut to %q", got)
	}
}

// TestWithoutAWidthNothingIsCut: what is piped is searched by programs.
func TestWithoutAWidthNothingIsCut(t *testing.T) {
	text := Once(frame(), Options{})
	if strings.Contains(text, "~") && !strings.Contains(text, "~204.8") || !strings.Contains(text, "/a/very/long/path/of/a/group/that/has/no/name/worker") {
		t.Errorf("something is cut:\n%s", text)
	}
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "~\n") {
			t.Errorf("a line is cut: %q", line)
		}
	}
}

func TestFilter(t *testing.T) {
	f := frame()
	if rows := f.containers(Options{Filter: "SHOP/web-0/a"}); len(rows) != 1 {
		t.Errorf("%d rows, want 1", len(rows))
	}
	if text := Render(f, Options{Filter: "nothing has this"}); !strings.Contains(text, `nothing to show for "nothing has this"`) {
		t.Errorf("an empty table does not say why:\n%s", text)
	}
}

func TestMissingPartsAreNoPanic(t *testing.T) {
	for _, f := range []*Frame{{}, {Node: &oom.NodeState{}}, {Groups: &oom.Groups{}}, {Processes: &oom.Processes{}}} {
		_ = Once(f, Options{})
		var b bytes.Buffer
		if err := JSON(&b, f, Options{}); err != nil {
			t.Error(err)
		}
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, frame(), Options{}); err != nil {
		t.Fatal(err)
	}
	var d struct {
		Schema     string
		Containers []struct {
			Container string
			Margin    *struct{ Level string } `json:"kill_margin"`
			Next      *struct{ Comm string }  `json:"next_victim"`
			Limit     any                     `json:"limit_bytes"`
		}
	}
	if err := json.Unmarshal(b.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	first, last := d.Containers[0], d.Containers[len(d.Containers)-1]
	if d.Schema != Schema || first.Container != "app" || first.Margin.Level != "pod" || first.Next.Comm != "java" {
		t.Errorf("first = %+v", first)
	}
	if last.Margin != nil || last.Limit != "unlimited" {
		t.Errorf("last = %+v, want no margin and an unlimited limit", last)
	}
}

func press(m model, keys ...string) model {
	for _, k := range keys {
		msg := tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
		switch k {
		case "tab":
			msg = tea.KeyPressMsg{Code: tea.KeyTab}
		case "enter":
			msg = tea.KeyPressMsg{Code: tea.KeyEnter}
		case "backspace":
			msg = tea.KeyPressMsg{Code: tea.KeyBackspace}
		case "esc":
			msg = tea.KeyPressMsg{Code: tea.KeyEscape}
		case "space":
			msg = tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}
		}
		next, _ := m.Update(msg)
		m = next.(model)
	}
	return m
}

func TestKeys(t *testing.T) {
	m := model{frame: *frame(), o: Options{Width: 80, Height: 30}}
	if got := press(m, "tab").o.Pane; got != Processes {
		t.Errorf("tab: pane %v", got)
	}
	if got := press(m, "tab", "tab", "tab").o.Pane; got != Containers {
		t.Errorf("three tabs: pane %v", got)
	}
	if got := press(m, "3").o.Pane; got != Protection {
		t.Errorf("3: pane %v", got)
	}
	if got := press(m, "s", "s").o.Order; got != ByUsage {
		t.Errorf("s s: order %v", got)
	}
	if got := press(m, "j", "j", "k").o.Cursor; got != 1 {
		t.Errorf("j j k: row %d", got)
	}
	if got := press(m, "G").o.Cursor; got != 3 {
		t.Errorf("G: row %d of 0 to 3", got)
	}
	if got := press(m, "G", "j", "j", "k").o.Cursor; got != 2 {
		t.Errorf("G j j k: row %d, want one above the last", got)
	}
	if got := press(m, "k", "g").o.Cursor; got != 0 {
		t.Errorf("k g: row %d", got)
	}
	if got := press(m, "r"); !got.o.Reverse || !strings.Contains(got.View().Content, "reversed") {
		t.Errorf("r does not reverse: %+v", got.o)
	}
	if text := press(m, "?").View().Content; !strings.Contains(text, "Reverse the order.") {
		t.Errorf("? does not show the keys:\n%s", text)
	}
	open := press(m, "enter")
	if text := open.View().Content; !strings.Contains(text, "shop/web-0/app") || !strings.Contains(text, "working set") && !strings.Contains(text, "own limit") {
		t.Errorf("enter does not show details:\n%s", text)
	}
	if got := press(open, "enter"); got.details != nil {
		t.Error("a second enter does not close the details")
	}
	if next, cmd := open.Update(tea.KeyPressMsg{Code: tea.KeyEscape}); cmd != nil || next.(model).details != nil {
		t.Error("esc with open details quits, or leaves them open")
	}
	if text := press(m, "j").View().Content; !strings.Contains(text, "2 of 4") {
		t.Errorf("the list does not say where one is:\n%s", text)
	}
	if got := press(m, "/", "w", "q", "backspace", "e", "enter"); got.o.Filter != "we" || got.typing {
		t.Errorf("filter %q, typing %v", got.o.Filter, got.typing)
	}
	if got := press(m, "/", "w", "esc"); got.o.Filter != "" || got.typing {
		t.Errorf("esc leaves filter %q, typing %v", got.o.Filter, got.typing)
	}
	if _, cmd := m.Update(tea.KeyPressMsg{Code: 'q', Text: "q"}); cmd == nil {
		t.Error("q does not quit")
	}
}

func TestFramesAndPause(t *testing.T) {
	looks := 0
	m := model{source: func() (Frame, error) {
		looks++
		return Frame{Host: "next"}, errors.New("no processes")
	}}
	_, cmd := m.Update(tickMsg{})
	next, _ := m.Update(cmd())
	if got := next.(model); got.frame.Host != "next" || !strings.Contains(got.View().Content, "incomplete: no processes") || looks != 1 {
		t.Errorf("after a tick: %+v, %d looks", got.frame, looks)
	}
	next, _ = m.Update(tea.WindowSizeMsg{Width: 100, Height: 30})
	if o := next.(model).o; o.Width != 100 || o.Height != 30 {
		t.Errorf("after a resize: %+v", o)
	}
	paused := press(m, "space")
	if !paused.paused || !strings.Contains(paused.View().Content, "PAUSED") && paused.err == nil {
		t.Errorf("space does not pause: %q", paused.View().Content)
	}
}

// SPDX-License-Identifier: Apache-2.0

package page

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

type workloadsBody struct {
	Filter     string
	Containers []containerRow
	Found, All int
	More       more
	Missing    string
}

// limitRow is one limit on the way from a workload up to the node.
type limitRow struct {
	Name, Limit, Usage, Unreclaimable string
	Bar                               *bar
	Binds                             bool
}

// processRow is one process of a workload.
type processRow struct{ Who, RSS, Swap, Score, Adj, Badness string }

type workloadBody struct {
	Name      string
	Notices   []notice
	Facts     []fact
	Limits    []limitRow
	Memory    []fact
	Processes []processRow
	Last      *killBody // the last kill, in short.
	Kills     []killRow
	Day       *curve
	Past      bool
	Missing   string
}

// matches tells whether a filter's text is in one of the texts; case does not
// matter.
func matches(filter string, texts ...string) bool {
	filter = strings.ToLower(strings.TrimSpace(filter))
	return filter == "" || slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), filter) })
}

// workloads is the page of all containers: those that a limit below the node's
// binds come first.
func (p *pages) workloads(r *http.Request) answer {
	if r.URL.Query().Has("container") {
		return p.workload(r)
	}
	look := p.o.Look()
	b := workloadsBody{Filter: text.Label(r.URL.Query().Get("q")), Missing: missing(&look)}
	x := newIndex(&look)
	rows, _ := tightest(&look)
	if look.Groups != nil {
		b.All = len(look.Groups.Containers)
		var others []*oom.Row
		for i := range look.Groups.Containers {
			if c := &look.Groups.Containers[i]; !boundBelowNode(c) {
				others = append(others, c)
			}
		}
		slices.SortStableFunc(others, func(a, b *oom.Row) int {
			return cmp.Or(cmp.Compare(b.Unreclaimable.Or(0), a.Unreclaimable.Or(0)), cmp.Compare(fullName(a.Workload), fullName(b.Workload)))
		})
		rows = append(rows, others...)
	}
	found := slices.DeleteFunc(rows, func(c *oom.Row) bool { return !matches(b.Filter, fullName(c.Workload)) })
	b.Found = len(found)
	found, b.More = section(r, found)
	for _, c := range found {
		b.Containers = append(b.Containers, x.row(c))
	}
	return answer{name: "workloads", title: "Workloads", present: true, time: look.Time, body: b}
}

// workload is the page of one container or unit. It exists as long as the
// workload or a record of a kill in it does.
func (p *pages) workload(r *http.Request) answer {
	want := workloadOf(r)
	look := p.o.Look()
	row := findRow(&look, want)
	var kills []*oom.Kill
	for _, k := range p.killList() {
		if label(k.Workload) == want {
			kills = append(kills, k)
		}
	}
	processes := processRows(&look, want)
	if row == nil && len(kills) == 0 && len(processes) == 0 {
		return answer{
			name: "missing", title: "Workload not found", code: http.StatusNotFound,
			body: "No workload with this name runs here, and no kill in it is recorded. Units without a limit are listed with --units.unlimited.",
		}
	}
	b := workloadBody{Name: fullName(want), Missing: missing(&look), Processes: processes, Past: p.o.Past != nil}
	if len(kills) > 0 {
		last := p.killBody(kills[0])
		b.Last = &last
	}
	for _, k := range kills {
		b.Kills = append(b.Kills, p.killRow(k))
	}
	switch {
	case row != nil:
		p.describe(&b, &look, row)
	case len(processes) > 0:
		b.Notices = []notice{{"ok", "It has no limit of its own: only its processes are shown. With --units.unlimited such units are listed, too.", ""}}
	default:
		b.Notices = []notice{{"warn", "It does not run on this node any more.", ""}}
	}
	return answer{name: "workload", title: b.Name, present: true, time: look.Time, body: b}
}

func findRow(look *Look, want oom.Workload) *oom.Row {
	if look.Groups == nil {
		return nil
	}
	for i := range look.Groups.Containers {
		if r := &look.Groups.Containers[i]; label(r.Workload) == want {
			return r
		}
	}
	return nil
}

// describe fills in what is known of a workload that runs.
func (p *pages) describe(b *workloadBody, look *Look, r *oom.Row) {
	x := newIndex(look)
	if r.Margin.Known {
		m := &r.Margin
		if m.Ratio < nearRatio && m.Level != oom.LevelNode {
			b.Notices = append(b.Notices, notice{urgency(m.Ratio), fmt.Sprintf("It is near an OOM kill: %s left before %s is reached.", text.Bytes(m.Bytes), binding(m)), ""})
		}
		b.Facts = append(b.Facts, fact{
			Label: "Kill margin", Value: text.Bytes(m.Bytes) + " of " + amount(x.limit(m)), Bar: used(m.Ratio),
			Note: "can still be allocated before the kernel kills; " + binding(m) + " is reached first",
		})
		if v := x.victims[m.Cgroup]; v != nil {
			b.Facts = append(b.Facts, fact{Label: "Next victim", Value: victimText(v), Note: "of " + fullName(v.Process.Workload), Href: workloadLink(v.Process.Workload)})
		}
	}
	b.Facts = append(b.Facts, protection(r)...)
	b.Limits = limitsAbove(look, r)
	b.Memory = memoryFacts(r)
	if p.o.Past != nil {
		if t, ok := p.o.Past.Track(r.Path); ok {
			b.Day = drawDay(&t)
		}
	}
}

// protection is what shows how the OOM killer treats a container.
func protection(r *oom.Row) []fact {
	var list []fact
	if r.QoS != "" {
		list = append(list, fact{Label: "QoS class", Value: text.Label(string(r.QoS))})
	}
	if r.Processes.Adj {
		f := fact{Label: "oom_score_adj", Value: strconv.Itoa(r.Processes.AdjMax), Note: "the highest of its processes"}
		if r.Processes.Mismatch == oom.Of(1) {
			f.Note = "not what its QoS class implies"
		}
		list = append(list, f)
	}
	if r.Processes.Known {
		list = append(list, fact{Label: "Processes", Value: strconv.Itoa(r.Processes.Count)})
	}
	if n, ok := r.UnderOOM.Get(); ok && n != 0 {
		list = append(list, fact{Label: "Under OOM", Value: "yes", Note: "its tasks wait instead of being killed (oom_kill_disable)"})
	}
	return list
}

// limitsAbove are the limits from a container up to the node's, the innermost
// first.
func limitsAbove(look *Look, r *oom.Row) []limitRow {
	var above []*oom.Row
	for _, list := range [][]oom.Row{look.Groups.Pods, look.Groups.Slices} {
		for i := range list {
			if strings.HasPrefix(r.Path, strings.TrimSuffix(list[i].Path, "/")+"/") {
				above = append(above, &list[i])
			}
		}
	}
	slices.SortStableFunc(above, func(a, b *oom.Row) int { return cmp.Compare(len(b.Path), len(a.Path)) })
	rows := []limitRow{limitOf("this container", r, r.Margin)}
	if m := &r.Margin; m.Known && m.Level == oom.LevelNested {
		inner := limitRow{Name: "inside it: " + text.Label(m.Cgroup), Limit: amount(index{}.limit(m)), Usage: "not shown", Unreclaimable: "not shown", Bar: used(m.Ratio), Binds: true}
		rows = append([]limitRow{inner}, rows...)
	}
	for _, a := range above {
		name := "slice " + text.Label(a.Path)
		if a.Kind == oom.KindPod {
			name = "pod " + text.Label(a.Workload.Namespace+"/"+a.Workload.Pod)
		}
		rows = append(rows, limitOf(name, a, r.Margin))
	}
	if n := look.Node; n != nil {
		row := limitRow{Name: "the node", Limit: amount(n.Total), Usage: "-", Unreclaimable: "-", Binds: r.Margin.Known && r.Margin.Level == oom.LevelNode}
		if n.Margin.Known {
			row.Bar = used(n.Margin.Ratio)
		}
		rows = append(rows, row)
	}
	return rows
}

func limitOf(name string, r *oom.Row, m oom.Margin) limitRow {
	row := limitRow{Name: name, Limit: amount(r.Limit), Usage: amount(r.Usage), Unreclaimable: amount(r.Unreclaimable)}
	row.Binds = m.Known && m.Cgroup != "" && m.Cgroup == r.Path
	limit, ok := r.Limit.Get()
	if n, known := r.Unreclaimable.Get(); ok && known && limit > 0 {
		row.Bar = used(1 - float64(n)/float64(limit))
	}
	return row
}

// memoryFacts is what a container's memory is made of.
func memoryFacts(r *oom.Row) []fact {
	var list []fact
	for _, f := range []struct {
		label string
		value oom.Amount
		note  string
	}{
		{"Usage", r.Usage, "all that is charged to it, page cache included"},
		{"Working set", r.WorkingSet(), "what kubelet and kubectl top show"},
		{"Unreclaimable", r.Unreclaimable, "what reclaim cannot free: the kernel kills by this"},
		{"Anonymous", r.Stat.Anon, "heap, stacks"},
		{"Shared memory and tmpfs", r.Stat.Shmem, ""},
		{"Kernel memory", r.Stat.Kernel, ""},
		{"Page cache", r.Stat.File, "files, shared memory included"},
		{"Swap", r.SwapUsage, ""},
		{"Peak", r.Peak, ""},
	} {
		if f.value.IsValue() {
			list = append(list, fact{Label: f.label, Value: amount(f.value), Note: f.note})
		}
	}
	if r.MaxHits.IsValue() {
		list = append(list, fact{Label: "Limit hits", Value: r.MaxHits.String(), Note: "times that it ran into its own limit and reclaim had to help"})
	}
	return list
}

// processRows are the workload's processes among those that rank highest on
// the node or are the next victim of a limit.
func processRows(look *Look, want oom.Workload) []processRow {
	if look.Processes == nil {
		return nil
	}
	list := slices.Clone(look.Processes.Top)
	for i := range look.Processes.Victims {
		list = append(list, look.Processes.Victims[i].Process)
	}
	var rows []processRow
	seen := map[int32]bool{}
	for i := range list {
		r := &list[i]
		if label(r.Workload) != want || r.PID == 0 || seen[r.PID] {
			continue
		}
		seen[r.PID] = true
		rows = append(rows, processRow{
			Who: process(r.Comm, int(r.PID)), RSS: text.Bytes(r.RSS), Swap: text.Bytes(r.Swap),
			Score: r.Score.String(), Adj: strconv.Itoa(int(r.Adj)), Badness: text.Signed(r.Badness),
		})
	}
	return rows
}

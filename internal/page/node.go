// SPDX-License-Identifier: Apache-2.0

package page

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

const (
	// shownTightest and shownKills are how many rows the node's page shows; the
	// full lists have pages of their own.
	shownTightest = 10
	shownKills    = 10
	// nearRatio is the kill margin ratio below which a limit is near; below
	// half of it it is very near.
	nearRatio = 0.10
	// recently is for how long a kill stands at the top of the node's page.
	recently = time.Hour
)

// notice is one line at the top of a page.
type notice struct{ Class, Text, Href string }

// bar is how much of a limit is used and cannot be freed.
type bar struct {
	Percent float64 // of the bar's length.
	Text    string
	Class   string
}

// fact is one line of what is known.
type fact struct {
	Label, Value, Note, Href string
	Bar                      *bar
}

// containerRow is one container in a list.
type containerRow struct {
	Name, Href, Margin, Limit, Binds, Victim string
	Bar                                      *bar
	Class                                    string
}

// victimRow is the process that dies if a limit is reached.
type victimRow struct{ Scope, Who, Of, Href, Badness string }

type nodeBody struct {
	Notices    []notice
	Missing    string
	Facts      []fact
	Containers []containerRow
	NodeBound  int // containers that only the node binds.
	All        int
	Victims    []victimRow
	Kills      []killRow
	AllKills   int
}

// node is the page of the node.
func (p *pages) node(*http.Request) answer {
	look := p.o.Look()
	kills := p.killList()
	limited, nodeBound := tightest(&look)
	b := nodeBody{
		Missing: missing(&look), Facts: nodeFacts(&look), NodeBound: nodeBound, All: len(limited) + nodeBound,
		Victims: victimRows(&look), AllKills: len(kills),
	}
	b.Notices = notices(&look, limited, kills, p.o.Now())
	index := newIndex(&look)
	for _, r := range limited[:min(len(limited), shownTightest)] {
		b.Containers = append(b.Containers, index.row(r))
	}
	for _, k := range kills[:min(len(kills), shownKills)] {
		b.Kills = append(b.Kills, p.killRow(k))
	}
	return answer{name: "node", title: "Node", present: true, time: look.Time, body: b}
}

// tightest returns the containers that a limit below the node's binds, the
// nearest to its kill first, and the number of the others: they all have the
// node's margin and would push these down.
func tightest(look *Look) (limited []*oom.Row, others int) {
	if look.Groups == nil {
		return nil, 0
	}
	for i := range look.Groups.Containers {
		if r := &look.Groups.Containers[i]; boundBelowNode(r) {
			limited = append(limited, r)
		} else {
			others++
		}
	}
	slices.SortStableFunc(limited, byRatio)
	return limited, others
}

func boundBelowNode(r *oom.Row) bool { return r.Margin.Known && r.Margin.Level != oom.LevelNode }

func byRatio(a, b *oom.Row) int {
	switch {
	case a.Margin.Known != b.Margin.Known:
		if a.Margin.Known {
			return -1
		}
		return 1
	default:
		return cmp.Or(cmp.Compare(a.Margin.Ratio, b.Margin.Ratio), cmp.Compare(fullName(a.Workload), fullName(b.Workload)))
	}
}

func missing(look *Look) string {
	if look.Err == nil {
		return ""
	}
	return text.Escape(look.Err.Error())
}

// urgency is the class of a margin ratio.
func urgency(ratio float64) string {
	switch {
	case ratio < nearRatio/2:
		return "bad"
	case ratio < nearRatio:
		return "warn"
	default:
		return "ok"
	}
}

// used is the part of a limit that is used and cannot be freed, as a bar with
// its figure in text.
func used(ratioLeft float64) *bar {
	share := 1 - min(max(ratioLeft, 0), 1)
	return &bar{Percent: float64(int(1000*share+0.5)) / 10, Text: text.Percent(share) + " used", Class: urgency(ratioLeft)}
}

// notices are what somebody has to know first.
func notices(look *Look, limited []*oom.Row, kills []*oom.Kill, now time.Time) []notice {
	var list []notice
	if len(kills) > 0 && now.Sub(kills[0].Time) < recently {
		k := kills[0]
		list = append(list, notice{"bad", text.Duration(now.Sub(k.Time)) + " ago: " + sentenceOf(k, fullName(k.Workload)), "kills/" + segment(killID(k))})
	}
	if n := look.Node; n != nil && n.Margin.Known && n.Margin.Ratio < nearRatio {
		list = append(list, notice{urgency(n.Margin.Ratio), fmt.Sprintf("The node is near an OOM kill: %s of memory left (%s).", text.Bytes(n.Margin.Bytes), text.Percent(n.Margin.Ratio)), ""})
	}
	near := 0
	for near < len(limited) && limited[near].Margin.Ratio < nearRatio {
		near++
	}
	if near > 0 {
		r := limited[0]
		what := "1 container is"
		if near > 1 {
			what = fmt.Sprintf("%d containers are", near)
		}
		list = append(list, notice{urgency(r.Margin.Ratio), fmt.Sprintf("%s near an OOM kill; the nearest is %s with %s left.", what, fullName(r.Workload), text.Bytes(r.Margin.Bytes)), workloadLink(r.Workload)})
	}
	if len(list) == 0 && look.Node != nil && look.Groups != nil {
		list = append(list, notice{"ok", "Nothing is near an OOM kill.", ""})
	}
	return list
}

// nodeFacts is the node in a few lines.
func nodeFacts(look *Look) []fact {
	n := look.Node
	if n == nil {
		return nil
	}
	var list []fact
	if n.Margin.Known {
		list = append(list, fact{
			Label: "Kill margin", Value: text.Bytes(n.Margin.Bytes) + " of " + amount(n.Total), Bar: used(n.Margin.Ratio),
			Note: "can still be allocated before the kernel kills a process of the node",
		})
	}
	if available, ok := n.EvictionAvailable.Get(); ok {
		threshold := n.EvictionThreshold.Or(0)
		f := fact{Label: "Eviction", Value: text.Bytes(available-min(available, threshold)) + " left", Note: "until kubelet evicts pods, at " + text.Bytes(threshold) + " of memory.available"}
		if available < threshold {
			f.Value = text.Bytes(threshold-available) + " below the threshold"
			f.Note = "kubelet evicts pods below " + text.Bytes(threshold) + " of memory.available"
		}
		list = append(list, f)
	}
	if ps := look.Processes; ps != nil && ps.Unkillable.IsValue() {
		list = append(list, fact{Label: "Unkillable", Value: amount(ps.Unkillable), Note: "held by processes with oom_score_adj -1000, which killing cannot free"})
	}
	if n.OOMKills.IsValue() {
		list = append(list, fact{Label: "OOM kills", Value: n.OOMKills.String(), Note: "since boot, as the kernel counts"})
	}
	if v, ok := n.PanicOnOOM.Get(); ok && v != 0 {
		list = append(list, fact{Label: "vm.panic_on_oom", Value: n.PanicOnOOM.String(), Note: "the kernel panics instead of killing"})
	}
	if v, ok := n.KillAllocatingTask.Get(); ok && v != 0 {
		list = append(list, fact{Label: "vm.oom_kill_allocating_task", Value: n.KillAllocatingTask.String(), Note: "the kernel kills the process that asks for memory, not the one that has most"})
	}
	return list
}

// victimRows are the next victims, the node's first.
func victimRows(look *Look) []victimRow {
	if look.Processes == nil {
		return nil
	}
	index := newIndex(look)
	var rows []victimRow
	for i := range look.Processes.Victims {
		v := &look.Processes.Victims[i]
		r := victimRow{Scope: index.scope(v), Who: victimText(v), Badness: text.Signed(v.Badness)}
		if v.Process.PID != 0 {
			r.Of, r.Href = fullName(v.Process.Workload), workloadLink(v.Process.Workload)
		}
		rows = append(rows, r)
	}
	return rows
}

// victimText says who dies.
func victimText(v *oom.NextVictim) string {
	if v.Process.PID == 0 {
		return "no process may be killed"
	}
	who := process(v.Process.Comm, int(v.Process.PID))
	if v.All > 1 {
		who += fmt.Sprintf(" and %d more", v.All-1)
	}
	if v.Tie {
		who += ", or another of its size"
	}
	return who
}

// index finds rows and victims by the path of their cgroup.
type index struct {
	rows    map[string]*oom.Row
	victims map[string]*oom.NextVictim
	node    *oom.NodeState
}

func newIndex(look *Look) index {
	x := index{rows: map[string]*oom.Row{}, victims: map[string]*oom.NextVictim{}, node: look.Node}
	if g := look.Groups; g != nil {
		for _, list := range [][]oom.Row{g.Slices, g.Pods, g.Containers} {
			for i := range list {
				x.rows[list[i].Path] = &list[i]
			}
		}
	}
	if ps := look.Processes; ps != nil {
		for i := range ps.Victims {
			x.victims[ps.Victims[i].Cgroup] = &ps.Victims[i]
		}
	}
	return x
}

// limit is the limit that binds a margin.
func (x index) limit(m *oom.Margin) oom.Amount {
	if m.Level == oom.LevelNode && x.node != nil {
		return x.node.Total
	}
	if r := x.rows[m.Cgroup]; r != nil && r.Limit.IsValue() {
		return r.Limit
	}
	if m.Ratio > 0 {
		return oom.Of(uint64(float64(m.Bytes) / m.Ratio))
	}
	return oom.Amount{}
}

// scope names whose limit would kill a victim.
func (x index) scope(v *oom.NextVictim) string {
	r := x.rows[v.Cgroup]
	switch {
	case v.Cgroup == "":
		return "the node"
	case r != nil && v.Scope == oom.LevelPod:
		return "pod " + strings.TrimSuffix(fullName(oom.Workload{Namespace: r.Workload.Namespace, Pod: r.Workload.Pod}), "/")
	case r != nil && v.Scope == oom.LevelContainer:
		return fullName(r.Workload)
	default:
		return v.Scope.String() + " " + text.Label(v.Cgroup)
	}
}

// row is a container in a list.
func (x index) row(r *oom.Row) containerRow {
	row := containerRow{Name: fullName(r.Workload), Href: workloadLink(r.Workload), Binds: binding(&r.Margin), Margin: "not known", Limit: amount(r.Limit)}
	if !r.Margin.Known {
		return row
	}
	row.Margin, row.Bar, row.Class = text.Bytes(r.Margin.Bytes), used(r.Margin.Ratio), urgency(r.Margin.Ratio)
	row.Limit = amount(x.limit(&r.Margin))
	if v := x.victims[r.Margin.Cgroup]; v != nil {
		row.Victim = victimText(v)
	}
	return row
}

// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// minGap is the least gap between the last sample and the kill that is mentioned.
const minGap = 100 * time.Millisecond

// killRow is one kill in a list.
type killRow struct {
	Href, Time, Machine, Ago string
	Workload, WorkloadHref   string
	Sentence, Verdict, Level string
}

type killsBody struct {
	Filter string
	Kills  []killRow
	Found  int
	All    int
	More   more
}

type killBody struct {
	Row     killRow
	Facts   []fact
	Verdict *verdictBody
	Advice  string
	Curve   *curve
	CurveOf string
	Gap     string
	Grew    []growthRow
	Report  string
	// Past says that a recorder runs, so that its silence means something.
	Past bool
}

type verdictBody struct {
	Cause, Grew, Sure, Sentence string
	Limit                       string // the advised one.
}

// growthRow is by how much something grew before a kill.
type growthRow struct{ Name, Href, From, To string }

// killList returns the kills, the newest first. Second lines about the same
// process are left out.
func (p *pages) killList() []*oom.Kill {
	kills := p.o.Kills()
	list := make([]*oom.Kill, 0, len(kills))
	for i := range slices.Backward(kills) {
		if !kills[i].Duplicate {
			list = append(list, &kills[i])
		}
	}
	return list
}

func (p *pages) killRow(k *oom.Kill) killRow {
	row := killRow{
		Href: "kills/" + segment(killID(k)), Workload: killedIn(k), WorkloadHref: workloadLink(k.Workload),
		Sentence: sentence(k), Level: k.Level.String(),
	}
	if !k.Time.IsZero() {
		row.Time, row.Machine, row.Ago = clock(k.Time), machineTime(k.Time), text.Duration(p.o.Now().Sub(k.Time))+" ago"
	}
	if v, ok := p.verdict(k); ok {
		row.Verdict = text.Escape(v.Sentence)
	}
	return row
}

// killedIn is the workload of a kill, or else the victim's cgroup.
func killedIn(k *oom.Kill) string {
	if k.Workload == (oom.Workload{}) {
		return text.Label(k.VictimPath)
	}
	return fullName(k.Workload)
}

func (p *pages) verdict(k *oom.Kill) (oom.Verdict, bool) {
	if p.o.Past == nil || k.ID == "" {
		return oom.Verdict{}, false
	}
	return p.o.Past.Verdict(k.ID)
}

// kills is the page of all recorded kills.
func (p *pages) kills(r *http.Request) answer {
	b := killsBody{Filter: text.Label(r.URL.Query().Get("q"))}
	list := p.killList()
	b.All = len(list)
	list = slices.DeleteFunc(list, func(k *oom.Kill) bool { return !matches(b.Filter, killedIn(k), sentence(k)) })
	b.Found = len(list)
	list, b.More = section(r, list)
	for _, k := range list {
		b.Kills = append(b.Kills, p.killRow(k))
	}
	return answer{name: "kills", title: "OOM kills", present: true, time: p.o.Now(), body: b}
}

// kill is the page of one kill. It shows the past, so it does not refresh.
func (p *pages) kill(r *http.Request) answer {
	id := r.PathValue("id")
	for _, k := range p.killList() {
		if killID(k) == id {
			b := p.killBody(k)
			if p.o.Explain != nil {
				b.Report = escapeLines(p.o.Explain(k))
			}
			return answer{name: "kill", title: "OOM kill", body: b}
		}
	}
	return answer{
		name: "missing", title: "Kill not found", code: http.StatusNotFound,
		body: "No kill with this id is recorded: the oldest records give way to newer ones.",
	}
}

// escapeLines makes a text of several lines safe to show.
func escapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = text.Escape(lines[i])
	}
	return strings.Join(lines, "\n")
}

func (p *pages) killBody(k *oom.Kill) killBody {
	b := killBody{Row: p.killRow(k), Facts: killFacts(k), Advice: generalAdvice(k), Past: p.o.Past != nil}
	if v, ok := p.verdict(k); ok {
		b.Verdict = &verdictBody{Cause: causeText(v.Cause), Grew: text.Label(string(v.Grew)), Sure: "low confidence", Sentence: text.Escape(v.Sentence)}
		if v.Sure {
			b.Verdict.Sure = "high confidence"
		}
		if v.AdvisedLimit.IsValue() {
			b.Verdict.Limit = amount(v.AdvisedLimit)
			if v.AtLeast {
				b.Verdict.Limit = "at least " + b.Verdict.Limit
			}
		}
		if v.Advice != "" {
			b.Advice = text.Escape(v.Advice)
		}
		b.Grew = growth(&v)
	}
	if p.o.Past == nil || k.ID == "" {
		return b
	}
	if rec, ok := p.o.Past.Recording(k.ID); ok {
		track := limitTrack(&rec, k)
		b.Curve, b.CurveOf = drawBefore(track, k.Time), trackName(track)
		if rec.Gap >= minGap {
			b.Gap = text.Duration(rec.Gap)
		}
	}
	return b
}

// limitTrack is the track of what had the limit that was reached.
func limitTrack(rec *oom.Recording, k *oom.Kill) *oom.Track {
	switch {
	case rec.Owner != nil:
		return rec.Owner
	case k.Level == oom.LevelNode || k.Level == oom.LevelNUMA:
		return &rec.Node
	default:
		return &rec.Victim
	}
}

func trackName(t *oom.Track) string {
	switch {
	case t.Cgroup == "":
		return "the node"
	case t.Kind == oom.KindPod:
		return "the pod " + text.Label(t.Workload.Namespace+"/"+t.Workload.Pod)
	case t.Workload != oom.Workload{}:
		return fullName(t.Workload)
	default:
		return "the cgroup " + text.Label(t.Cgroup)
	}
}

// growth lists processes, then the containers beside the victim's.
func growth(v *oom.Verdict) []growthRow {
	var rows []growthRow
	for _, t := range v.Tasks {
		rows = append(rows, growthRow{Name: process(t.Comm, int(t.PID)), From: text.Bytes(t.From), To: text.Bytes(t.To)})
	}
	for _, s := range v.Siblings {
		rows = append(rows, growthRow{Name: fullName(s.Workload), Href: workloadLink(s.Workload), From: text.Bytes(s.From), To: text.Bytes(s.To)})
	}
	return rows
}

// killFacts are the kernel's words about a kill. What it did not say is left
// out.
func killFacts(k *oom.Kill) []fact {
	v := &k.Victim
	list := []fact{{Label: "Killed process", Value: process(v.Comm, v.PID)}}
	add := func(label, value, note string) {
		if value != "" {
			list = append(list, fact{Label: label, Value: value, Note: note})
		}
	}
	if v.AnonRSS.IsValue() {
		sum := v.AnonRSS.Plus(oom.Of(v.FileRSS.Or(0) + v.ShmemRSS.Or(0)))
		add("Its resident memory", amount(sum), fmt.Sprintf("%s anonymous, %s file, %s shared", amount(v.AnonRSS), amount(v.FileRSS), amount(v.ShmemRSS)))
	}
	if v.AdjKnown {
		add("Its oom_score_adj", strconv.Itoa(v.Adj), "")
	}
	if v.UID.IsValue() {
		add("Its user", "uid "+v.UID.String(), "")
	}
	add("Its cgroup", text.Label(k.VictimPath), "")
	add("Limit reached", limitText(k), text.Label(k.LimitPath))
	if k.Usage.IsValue() {
		add("Usage at the kill", amount(k.Usage), "")
	}
	if t := k.Trigger; t != nil {
		note := "its allocation reached the limit"
		if t.PID == v.PID && t.PID != 0 {
			note = "the killed process itself"
		}
		add("Allocating process", process(t.Comm, t.PID), note)
	}
	for _, n := range []struct {
		set  bool
		text string
	}{
		{k.Partial, "the kernel's report is cut or was suppressed"},
		{k.History, "before the exporter began to count: recorded, not counted"},
		{k.Approximate, "the time is computed from the kernel's clock"},
	} {
		if n.set {
			add("Note", upper(n.text), "")
		}
	}
	if k.Evidence != "" {
		add("Named by", evidenceText(k.Evidence), "")
	}
	return list
}

func evidenceText(e string) string {
	switch e {
	case "report":
		return "the kernel's report"
	case "counter":
		return "the kernel's counter of the cgroup"
	case "scan":
		return "the processes that were in the cgroup"
	case oom.ByTracefs, oom.ByBPF:
		return "the trace of victims"
	default:
		return text.Label(e)
	}
}

func limitText(k *oom.Kill) string {
	words := map[oom.Level]string{
		oom.LevelContainer: "the container's", oom.LevelPod: "the pod's", oom.LevelSlice: "a slice's",
		oom.LevelNode: "the node's memory", oom.LevelNUMA: "the memory of its NUMA nodes", oom.LevelUnknown: "not known",
	}[k.Level]
	if k.Limit.IsValue() {
		words += ", " + amount(k.Limit)
	}
	return words
}

// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"math"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// The longest names in a sentence.
const (
	maxName = 80
	maxComm = 24
)

// sentence says what was seen, in numbers.
func (s *scene) sentence(f *finding, v *oom.Verdict) string {
	who, of := name(s.rec.Victim.Workload, s.rec.Victim.Cgroup), kindOf(v.Grew)
	end := s.victim[max(0, len(s.victim)-1):]
	top := math.NaN()
	if len(end) > 0 {
		top = end[0].level
	}
	limit := s.limitWords()
	switch f.cause {
	case oom.CauseStartup:
		return fmt.Sprintf("%s reached %s %s after it began, before it had ever run steadily%s.%s", who, limit, span(s.age), whatGrew(of), s.victimWords())
	case oom.CauseLeak:
		shape := "steadily"
		if v.Sure {
			shape = "nearly straight"
		}
		return fmt.Sprintf("%s grew from %s to %s in %s, %s a minute, %s%s; %s was reached.%s A leak: %s more would have lasted %s.",
			who, size(f.low), size(top), span(-f.from), size(f.slope*60), shape, ofKind(of), limit, s.victimWords(),
			size(s.limit), span(s.limit/f.slope))
	case oom.CauseBurst:
		return fmt.Sprintf("%s stood at %s and rose to %s in %s%s; %s was reached.%s", who, size(f.low), size(top), span(max(0.1, -f.from)), ofKind(of), limit, s.victimWords())
	case oom.CauseSteady:
		return fmt.Sprintf("%s stood at %s, %.0f %% of the limit, for %s before the kill%s%s.%s", who, size(f.low), 100*f.low/s.limit, span(-f.from), ofKind(of), s.hitWords(f.from), s.victimWords())
	case oom.CauseLimitLowered:
		was := "no limit"
		if !math.IsInf(f.low, 1) {
			was = size(f.low)
		}
		return fmt.Sprintf("The limit of %s was lowered from %s to %s %s before the kill, when %s were in use.", s.ownerName(), was, size(s.limit), span(-f.from), size(s.owner.at(f.from)))
	case oom.CauseSibling:
		return s.siblingSentence(f, v, who, limit)
	case oom.CauseProcesses:
		return s.processSentence(who, limit)
	case oom.CauseRestartDebt:
		return fmt.Sprintf("%s of %s were there when %s began and are not its own; on top of it, %s reached %s after %s.", size(f.low), kindOf(v.Grew), who, size(s.atKill-f.low), limit, span(s.age))
	case oom.CauseNode:
		return s.nodeSentence(who)
	}
	return f.why
}

func (s *scene) siblingSentence(f *finding, v *oom.Verdict, who, limit string) string {
	grown := "Another container"
	by := ""
	if len(v.Siblings) > 0 {
		g := v.Siblings[0]
		grown = name(g.Workload, "")
		by = fmt.Sprintf(" from %s to %s", text.Size(g.From), text.Size(g.To))
	}
	own := s.victim[len(s.victim)-1].level
	return fmt.Sprintf("%s grew%s in %s; %s was reached, and a process of %s was killed, which stood at %s.", grown, by, span(-f.from), limit, who, size(own))
}

func (s *scene) processSentence(who, limit string) string {
	var first, last point
	for _, p := range s.victim {
		if p.procs > 0 {
			if first.procs == 0 {
				first = p
			}
			last = p
		}
	}
	return fmt.Sprintf("%s went from %.0f to %.0f processes in %s, about %s each; %s was reached.", who, first.procs, last.procs, span(last.t-first.t), size(last.level/last.procs), limit)
}

func (s *scene) nodeSentence(who string) string {
	c := newCurve(&s.rec.Node, s.kill.Time, s.kill.Approximate)
	words := fmt.Sprintf("The node ran out of memory; a process of %s was killed for it.", who)
	if n := len(c); n > 1 {
		words = fmt.Sprintf("The node ran out of memory: what it cannot free went from %s to %s in %s; a process of %s was killed.", size(c[0].level), size(c[n-1].level), span(c[n-1].t-c[0].t), who)
	}
	if g := s.topGrower(); g != "" {
		words += " " + g
	}
	return words + s.victimWords()
}

// topGrower names the container that grew most on a full node.
func (s *scene) topGrower() string {
	best, grown := "", 0.0
	for i := range s.rec.Siblings {
		c := s.siblingCurve(i)
		if len(c) < 2 {
			continue
		}
		if g := c[len(c)-1].level - c[0].level; g > grown {
			grown = g
			best = fmt.Sprintf("%s grew most, from %s to %s in %s.", name(s.rec.Siblings[i].Workload, s.rec.Siblings[i].Cgroup), size(c[0].level), size(c[len(c)-1].level), span(-c[0].t))
		}
	}
	return best
}

// victimWords name the process that was killed and its size.
func (s *scene) victimWords() string {
	v := &s.kill.Victim
	if v.Comm == "" || !v.AnonRSS.IsValue() {
		return ""
	}
	return fmt.Sprintf(" %s (pid %d) was killed with %s.", text.Short(v.Comm, maxComm), v.PID, text.Size(v.AnonRSS.Or(0)+v.FileRSS.Or(0)+v.ShmemRSS.Or(0)))
}

func (s *scene) hitWords(from float64) string {
	first, last := math.NaN(), math.NaN()
	for _, p := range s.owner.since(from) {
		if !math.IsNaN(p.hits) {
			if math.IsNaN(first) {
				first = p.hits
			}
			last = p.hits
		}
	}
	if !(last > first) {
		return ""
	}
	return fmt.Sprintf(", and hit the limit %.0f times", last-first)
}

// limitWords say whose limit ran out.
func (s *scene) limitWords() string {
	if s.shared {
		return fmt.Sprintf("the limit of %s (%s)", size(s.limit), s.ownerName())
	}
	return "the limit of " + size(s.limit)
}

func (s *scene) ownerName() string {
	if s.rec.Owner == nil {
		return name(s.rec.Victim.Workload, s.rec.Victim.Cgroup)
	}
	o := s.rec.Owner
	switch {
	case o.Workload.Pod != "":
		return "the pod " + name(o.Workload, o.Cgroup)
	case o.Cgroup == "":
		return name(o.Workload, "the cgroup above")
	}
	return text.Short(o.Cgroup, maxName)
}

// name is a workload as people call it.
func name(w oom.Workload, cgroup string) string {
	var known []string
	for _, part := range []string{w.Namespace, w.Pod, w.Container} {
		if part != "" {
			known = append(known, text.Short(part, maxName))
		}
	}
	switch {
	case len(known) > 0:
		return strings.Join(known, "/")
	case cgroup != "":
		return text.Short(cgroup, maxName)
	}
	return "the container"
}

func kindOf(m oom.Memory) string {
	switch m {
	case oom.MemoryAnon:
		return "anonymous memory"
	case oom.MemoryShmem:
		return "shared memory and tmpfs"
	case oom.MemoryKernel:
		return "kernel memory"
	case oom.MemoryFile:
		return "page cache"
	case oom.MemoryHugetlb:
		return "huge pages"
	}
	return ""
}

func ofKind(kind string) string {
	if kind == "" {
		return ""
	}
	return ", " + kind
}

func whatGrew(kind string) string {
	if kind == "" {
		return ""
	}
	return "; what grew was " + kind
}

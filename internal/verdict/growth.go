// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"cmp"
	"math"
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// maxTasks is how many processes a verdict names.
const maxTasks = 5

// taskGrowth is by how much the recorded processes grew, the most first; the
// victim's size is the kernel's own.
func (s *scene) taskGrowth() []oom.TaskGrowth {
	var out []oom.TaskGrowth
	victim := false
	v := &s.kill.Victim
	for i := range s.rec.Victim.Tasks {
		task := &s.rec.Victim.Tasks[i]
		n := min(len(task.RSS), len(task.Times))
		for n > 0 && !s.kill.Time.IsZero() && !s.kill.Approximate && task.Times[n-1].After(s.kill.Time) {
			n--
		}
		if n == 0 {
			continue
		}
		g := oom.TaskGrowth{PID: task.PID, Comm: task.Comm, From: task.RSS[0], To: task.RSS[n-1]}
		if int(g.PID) == v.PID || int(g.PID) == v.TGID {
			victim = true
			g.To = max(g.To, v.AnonRSS.Or(0)+v.FileRSS.Or(0)+v.ShmemRSS.Or(0))
		}
		out = append(out, g)
	}
	if !victim && v.PID != 0 && v.AnonRSS.IsValue() {
		to := v.AnonRSS.Or(0) + v.FileRSS.Or(0) + v.ShmemRSS.Or(0)
		// Where it was not followed, what it had before is not known.
		out = append(out, oom.TaskGrowth{PID: int32(v.PID), Comm: v.Comm, From: to, To: to})
	}
	slices.SortStableFunc(out, func(a, b oom.TaskGrowth) int {
		if c := cmp.Compare(grewBy(b), grewBy(a)); c != 0 {
			return c
		}
		return cmp.Compare(b.To, a.To)
	})
	return out[:min(len(out), maxTasks)]
}

func grewBy(g oom.TaskGrowth) int64 { return int64(g.To) - int64(g.From) }

// siblingGrowth is by how much the siblings grew since t.
func (s *scene) siblingGrowth(t float64) []oom.SiblingGrowth {
	var out []oom.SiblingGrowth
	if t == 0 {
		t = -siblingTime
	}
	for i := range s.rec.Siblings {
		c := s.siblingCurve(i)
		if len(c) == 0 {
			continue
		}
		out = append(out, oom.SiblingGrowth{
			Workload: s.rec.Siblings[i].Workload, From: uint64(max(0, c.at(t))), To: uint64(max(0, c[len(c)-1].level)),
		})
	}
	slices.SortStableFunc(out, func(a, b oom.SiblingGrowth) int {
		return cmp.Compare(int64(b.To)-int64(b.From), int64(a.To)-int64(a.From))
	})
	return out
}

// grew is the kind of memory that grew.
func (s *scene) grew(f *finding) oom.Memory {
	kinds := [parts]oom.Memory{oom.MemoryAnon, oom.MemoryShmem, oom.MemoryKernel, oom.MemoryFile}
	c := s.victim
	switch f.cause {
	case oom.CauseRestartDebt:
		return kinds[f.debt]
	case oom.CauseSibling:
		c = s.owner
	case oom.CauseNode:
		c = newCurve(&s.rec.Node, s.kill.Time, s.kill.Approximate)
	}
	var read curve
	for _, p := range c {
		if !math.IsNaN(p.part[partAnon]) {
			read = append(read, p)
		}
	}
	var by [parts]float64
	if n := len(read); n > 0 {
		from := s.partsBefore(f, read)
		for i := range by {
			by[i] = read[n-1].part[i] - from[i]
		}
		s.addUnseen(&by, &read[n-1], f)
		if max(by[partAnon], by[partShmem], by[partKernel]) <= 0 {
			by = read[n-1].part // it grew before the parts were read: take what there was.
		}
	} else {
		by = [parts]float64{float64(s.kill.Victim.AnonRSS.Or(0)), float64(s.kill.Victim.ShmemRSS.Or(0))}
	}
	if f.cause != oom.CauseUnknown {
		by[partFile] = 0 // reclaim could have freed it.
	}
	sum, top := 0.0, -1
	for i, n := range by {
		if n > 0 {
			sum += n
			if top < 0 || n > by[top] {
				top = i
			}
		}
	}
	switch {
	case top < 0:
		return ""
	case by[top] >= most*sum:
		return kinds[top]
	}
	return oom.MemoryMixed
}

// partsBefore is what was there before the growth: nothing, where a level and
// not a growth was the reason.
func (s *scene) partsBefore(f *finding, read curve) (from [parts]float64) {
	switch f.cause {
	case oom.CauseStartup, oom.CauseSteady, oom.CauseLimitLowered, oom.CauseUnknown:
		return from
	}
	i := 0
	for i+1 < len(read)-1 && read[i+1].t <= f.from {
		i++
	}
	for k, n := range read[i].part {
		if !math.IsNaN(n) {
			from[k] = n
		}
	}
	return from
}

// addUnseen adds what grew after the last sample, as far as the kernel's report
// of the victim tells its kind.
func (s *scene) addUnseen(by *[parts]float64, last *point, f *finding) {
	if f.cause == oom.CauseNode || f.cause == oom.CauseSibling {
		return
	}
	v := &s.kill.Victim
	if grown := float64(v.AnonRSS.Or(0)) - last.part[partAnon]; grown > 0 {
		by[partAnon] += grown
	}
	if grown := float64(v.ShmemRSS.Or(0)) - last.part[partShmem]; grown > 0 {
		by[partShmem] += grown
	}
}

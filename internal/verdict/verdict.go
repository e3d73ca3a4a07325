// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// scene is all that a cause is derived from.
type scene struct {
	rec    *oom.Recording
	kill   *oom.Kill
	victim curve // of the container in which a process was killed, with the kill as its last point.
	owner  curve // of the cgroup whose limit ran out; the victim's if that is its own.
	shared bool  // the limit is that of a pod or slice, not the victim's own.
	limit  float64
	atKill float64 // what the owner of the limit could not free when it ran out.
	age    float64 // of the container, in seconds: negative if unknown.
	gap    float64 // from the last sample to the kill.
}

// finding is a cause that was found, or a reason why none was.
type finding struct {
	cause   oom.Cause
	sure    bool
	from    float64 // when what happened began, in seconds before the kill.
	low     float64 // the size then.
	why     string  // the sentence.
	slope   float64 // of a leak, in bytes a second,
	reached float64 // and what its line has come to in the end.
	debt    int     // of restart_debt: the part that was there.
	none    bool    // nothing was found: look on.
}

func unknown(format string, args ...any) finding {
	return finding{cause: oom.CauseUnknown, why: fmt.Sprintf(format, args...)}
}

// lookOn says that this is not the cause.
func lookOn() finding { return finding{none: true} }

// Judge says why a kill came about, as far as the recording shows it.
func Judge(rec *oom.Recording, kill *oom.Kill) oom.Verdict {
	s := newScene(rec, kill)
	f := s.find()
	v := oom.Verdict{
		Cause: f.cause, Sure: f.sure && f.cause != oom.CauseUnknown, Sentence: f.why,
		Tasks: s.taskGrowth(), Siblings: s.siblingGrowth(f.from),
	}
	v.Grew = s.grew(&f)
	if f.cause != oom.CauseUnknown {
		v.Sentence = s.sentence(&f, &v)
	}
	s.advise(&f, &v)
	return v
}

// NotRecorded is the verdict of a kill that no recording was made of.
func NotRecorded(reason string) oom.Verdict {
	return oom.Verdict{Cause: oom.CauseUnknown, Sentence: "Not known: " + reason + "."}
}

func newScene(rec *oom.Recording, kill *oom.Kill) *scene {
	s := &scene{rec: rec, kill: kill, age: -1, limit: float(kill.Limit)}
	at := kill.Time
	if at.IsZero() {
		at = rec.Taken
	}
	s.victim = newCurve(&rec.Victim, at, kill.Approximate)
	s.shared = rec.Owner != nil
	s.owner = s.victim
	if s.shared {
		s.owner = newCurve(rec.Owner, at, kill.Approximate)
	}
	if n := len(s.owner); n > 0 && (math.IsNaN(s.limit) || s.limit == 0) {
		s.limit = lastLimit(s.owner)
	}
	s.gap = math.Inf(1)
	if n := len(s.victim); n > 0 {
		s.gap = -s.victim[n-1].t
	}
	s.age = s.instanceAge(at)
	s.endAtKill()
	return s
}

func lastLimit(c curve) float64 {
	for _, p := range slices.Backward(c) {
		if !math.IsNaN(p.limit) {
			return p.limit
		}
	}
	return math.NaN()
}

// maxAge bounds ages; a cgroup that seems older counts as one of unknown age.
const maxAge = 10 * 365 * 24 * time.Hour

// instanceAge is how long the processes of the victim's cgroup have run: since
// the cgroup was made, or since it was last seen without any.
func (s *scene) instanceAge(at time.Time) float64 {
	age := -1.0
	if born := s.rec.Victim.Born; !born.IsZero() && !born.After(at) && at.Sub(born) < maxAge {
		age = at.Sub(born).Seconds()
	}
	for _, p := range slices.Backward(s.victim) {
		if p.procs == 0 && -p.t > s.gap {
			return -p.t
		}
	}
	return age
}

// endAtKill adds the moment of the kill: then all that the limit allowed was in
// use, and reclaim had freed what it could.
func (s *scene) endAtKill() {
	s.atKill = float(s.kill.Usage)
	if math.IsNaN(s.atKill) || s.atKill == 0 {
		s.atKill = s.limit
	}
	if n := len(s.owner); n > 0 && !math.IsNaN(s.atKill) && !math.IsInf(s.atKill, 1) {
		end := blank(0)
		end.level = s.atKill
		s.owner = append(s.owner.until(0), end)
	}
	if !s.shared {
		s.victim = s.owner
		return
	}
	if n := len(s.victim); n > 0 {
		end := blank(0)
		end.level = max(s.victim[n-1].level, s.victimSize())
		s.victim = append(s.victim, end)
	}
}

// victimSize is what the killed process had, by the kernel's own report.
func (s *scene) victimSize() float64 {
	v := &s.kill.Victim
	return float64(v.AnonRSS.Or(0)) + float64(v.ShmemRSS.Or(0))
}

// find asks for the causes in the order in which one excludes the next: what
// the kernel or a number says outright first, then the shapes.
func (s *scene) find() finding {
	for _, cause := range []func() finding{
		s.asked, s.limitLowered, s.node, s.unseen, s.sibling, s.restartDebt, s.processes, s.startup, s.steady, s.burst, s.leak,
	} {
		if f := cause(); !f.none {
			return f
		}
	}
	return s.nothing()
}

// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// judgeWorld records a world and judges it.
func judgeWorld(t *testing.T, w *world) oom.Verdict {
	t.Helper()
	rec, kill, ok := w.record(rand.New(rand.NewPCG(1, 1)))
	if !ok {
		t.Fatal("the world does not end")
	}
	return Judge(&rec, &kill)
}

const testMiB = float64(1 << 20)

func anon(level func(t float64) float64) func(t float64) mem {
	return func(t float64) mem { return mem{anon: level(t), procs: 2} }
}

// TestSentences has what a person reads of one kill of each cause.
func TestSentences(t *testing.T) {
	c := 512 * testMiB
	for name, tc := range map[string]struct {
		world    world
		cause    oom.Cause
		sure     bool
		sentence []string
		advice   string
	}{
		"leak": {
			world{limit: fixed(c), longest: 1e4, size: anon(func(t float64) float64 { return 100*testMiB*warm(t, 10) + 412*testMiB*t/3600 })},
			oom.CauseLeak, true,
			[]string{"shop/web-1/app grew from 1", " to 512.0 MiB in 53 min, 6.9 MiB a minute, nearly straight, anonymous memory; the limit of 512.0 MiB was reached.", "app (pid 4711) was killed with", "A leak: 512.0 MiB more would have lasted 75 min."},
			"No limit helps",
		},
		"burst": {
			world{limit: fixed(c), longest: 1e4, size: anon(func(t float64) float64 {
				return 200*testMiB*warm(t, 10) + max(0, t-1800)*30*testMiB
			})},
			oom.CauseBurst, true,
			[]string{"stood at 200.0 MiB and rose to 512.0 MiB in 9.7 s"},
			"Raise the limit to at least 564.0 MiB",
		},
		"startup": {
			world{limit: fixed(c), longest: 1e4, size: anon(func(t float64) float64 { return t * 20 * testMiB })},
			oom.CauseStartup, true,
			[]string{"reached the limit of 512.0 MiB 26 s after it began"},
			"at least 564.0 MiB",
		},
		"lowered": {
			world{longest: 1e4, size: anon(func(t float64) float64 { return 300 * testMiB * warm(t, 10) }), limit: func(t float64) float64 {
				if t < 600 {
					return c
				}
				return 290 * testMiB
			}},
			oom.CauseLimitLowered, true,
			[]string{"was lowered from 512.0 MiB to 290.0 MiB", "when 300.0 MiB were in use"},
			"at least 330.0 MiB",
		},
		"nothing recorded": {
			world{limit: fixed(c), longest: 1e4, blind: true, size: anon(func(t float64) float64 { return t * testMiB })},
			oom.CauseUnknown, false,
			[]string{"Not known: no sample was taken; the container lived for 9 min."},
			"",
		},
		"recorder stopped": {
			world{limit: fixed(c), longest: 1e4, gap: 100, size: anon(func(t float64) float64 { return t * testMiB })},
			oom.CauseUnknown, false,
			[]string{"Not known: the last sample was taken 10", " s before the kill."},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := judgeWorld(t, &tc.world)
			if v.Cause != tc.cause || v.Sure != tc.sure {
				t.Errorf("%s, sure %v; want %s, %v: %s", v.Cause, v.Sure, tc.cause, tc.sure, v.Sentence)
			}
			for _, part := range tc.sentence {
				if !strings.Contains(v.Sentence, part) {
					t.Errorf("the sentence %q lacks %q", v.Sentence, part)
				}
			}
			if !strings.Contains(v.Advice, tc.advice) || (tc.advice == "") != (v.Advice == "") {
				t.Errorf("the advice %q lacks %q", v.Advice, tc.advice)
			}
		})
	}
}

// TestFlatTroughsAreNoLeak lets teeth of every period run into the limit.
func TestFlatTroughsAreNoLeak(t *testing.T) {
	c := 512 * testMiB
	for period := 10.0; period < 7200; period *= 1.7 {
		for _, teeth := range []float64{2, 4, 9, 40} {
			end := period * teeth
			w := world{limit: fixed(c), longest: end + period*2, size: anon(func(t float64) float64 {
				high := 0.9
				if t > end {
					high = 1.1
				}
				return c * (0.3 + (high-0.3)*t/period - (high-0.3)*float64(int(t/period)))
			})}
			if v := judgeWorld(t, &w); v.Cause == oom.CauseLeak {
				t.Errorf("period %.0f s, %.0f teeth: %s", period, teeth, v.Sentence)
			}
		}
	}
}

// TestYoungSibling has both containers begin shortly before the other one grows.
func TestYoungSibling(t *testing.T) {
	c := 60 * testMiB
	w := world{pod: true, limit: fixed(c), longest: 100, size: anon(func(t float64) float64 { return 18 * testMiB * warm(t, 1) }), sibling: func(t float64) float64 {
		return max(0, t-5) * 8 * testMiB
	}}
	if v := judgeWorld(t, &w); v.Cause != oom.CauseSibling {
		t.Errorf("%s: %s", v.Cause, v.Sentence)
	}
}

// TestPageCacheIsNoReason fills the limit with what can be freed: neither its
// level nor its growth is a cause.
func TestPageCacheIsNoReason(t *testing.T) {
	c := 512 * testMiB
	w := world{limit: fixed(c), cache: c, longest: 1e4, size: anon(func(t float64) float64 {
		return 150*testMiB*warm(t, 10) + max(0, t-1800)*30*testMiB
	})}
	if v := judgeWorld(t, &w); v.Cause != oom.CauseBurst || v.Grew != oom.MemoryAnon {
		t.Errorf("%s of %s: %s", v.Cause, v.Grew, v.Sentence)
	}
}

// TestSamplesAfterTheKill shows that what the kill freed is not taken for a
// fall, with the exact time and with one that is off.
func TestSamplesAfterTheKill(t *testing.T) {
	c := 512 * testMiB
	w := world{limit: fixed(c), longest: 1e4, size: anon(func(t float64) float64 { return 100*testMiB*warm(t, 10) + 412*testMiB*t/3600 })}
	rec, kill, _ := w.record(rand.New(rand.NewPCG(1, 1)))
	for i := range 5 {
		s := rec.Victim.Fine[len(rec.Victim.Fine)-1]
		s.Time = kill.Time.Add(time.Duration(i*100+1) * time.Millisecond)
		s.Usage, s.Unreclaimable, s.Anon = oom.Of(1<<20), oom.Of(1<<20), oom.Of(1<<20)
		rec.Victim.Fine = append(rec.Victim.Fine, s)
	}
	for _, off := range []time.Duration{0, -2 * time.Second, 2 * time.Second} {
		k := kill
		k.Time, k.Approximate = kill.Time.Add(off), off != 0
		if v := Judge(&rec, &k); v.Cause != oom.CauseLeak {
			t.Errorf("time off by %v: %s: %s", off, v.Cause, v.Sentence)
		}
	}
}

// TestHostileNames shows that a sentence has nothing unprintable.
func TestHostileNames(t *testing.T) {
	c := 512 * testMiB
	w := world{limit: fixed(c), longest: 1e4, size: anon(func(t float64) float64 { return t * 20 * testMiB })}
	rec, kill, _ := w.record(rand.New(rand.NewPCG(1, 1)))
	rec.Victim.Workload = oom.Workload{Container: "a\x1b[2J\n\xff" + strings.Repeat("x", 300)}
	kill.Victim.Comm = "e\r\x00vil"
	v := Judge(&rec, &kill)
	for _, r := range v.Sentence + v.Advice {
		if r < ' ' || r == '\ufffd' {
			t.Errorf("unprintable %q in %q", r, v.Sentence)
		}
	}
	if len(v.Sentence) > 600 {
		t.Errorf("a sentence of %d bytes", len(v.Sentence))
	}
}

// FuzzJudge shows that no recording, however broken, ends in anything but a
// verdict with a sentence; and the same again.
func FuzzJudge(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(3))
	f.Add(uint64(99), uint64(0), uint8(0))
	f.Fuzz(func(t *testing.T, seed, size uint64, n uint8) {
		r := rand.New(rand.NewPCG(seed, size))
		rec, kill := scrambled(r, int(n))
		v := Judge(&rec, &kill)
		if v.Sentence == "" || v.Cause == "" {
			t.Errorf("%+v", v)
		}
		if v.Cause == oom.CauseUnknown && v.Sure {
			t.Error("sure that it is unknown")
		}
		if again := Judge(&rec, &kill); again.Sentence != v.Sentence {
			t.Errorf("%q, and then %q", v.Sentence, again.Sentence)
		}
		NeedOf(&rec.Victim)
	})
}

// scrambled makes tracks of numbers without sense.
func scrambled(r *rand.Rand, n int) (oom.Recording, oom.Kill) {
	amount := func() oom.Amount {
		switch r.IntN(6) {
		case 0:
			return oom.Amount{}
		case 1:
			return oom.Unlimited()
		case 2:
			return oom.Of(r.Uint64())
		}
		return oom.Of(r.Uint64N(1 << 30))
	}
	when := func() time.Time { return epoch().Add(time.Duration(r.Int64N(int64(48*time.Hour))) - 24*time.Hour) }
	track := func() oom.Track {
		tr := oom.Track{Born: when()}
		for range r.IntN(n + 1) {
			s := oom.Sample{
				Time: when(), Usage: amount(), Limit: amount(), Unreclaimable: amount(), Anon: amount(), Shmem: amount(), File: amount(), Kernel: amount(),
				LimitHits: amount(), StalledMicros: amount(), Processes: amount(),
			}
			tr.Fine, tr.Medium = append(tr.Fine, s), append(tr.Medium, s)
			tr.Coarse = append(tr.Coarse, oom.Span{Start: when(), Length: 300 * time.Second, UsageMin: amount(), UsageMax: amount(), UnreclaimableMin: amount(), UnreclaimableMax: amount()})
		}
		return tr
	}
	rec := oom.Recording{Victim: track(), Node: track(), Siblings: []oom.Track{track(), track()}}
	if r.IntN(2) == 0 {
		owner := track()
		rec.Owner = &owner
	}
	levels := oom.Levels()
	kill := oom.Kill{
		Time: epoch(), Approximate: r.IntN(2) == 0, Level: levels[r.IntN(len(levels))], Usage: amount(), Limit: amount(), Sysrq: r.IntN(20) == 0,
		Victim: oom.Victim{PID: 1, Comm: "x", AnonRSS: amount(), ShmemRSS: amount(), FileRSS: amount()},
	}
	return rec, kill
}

// TestABurstAfterAStill: what stands still is not sampled again, so that a burst
// may fill all samples but those of the start; it is no leak for that.
func TestABurstAfterAStill(t *testing.T) {
	killed := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	const limit = uint64(57 * testMiB)
	for _, age := range []time.Duration{33 * time.Second, 45 * time.Second, 5 * time.Minute} {
		track := oom.Track{Cgroup: "/still", Workload: oom.Workload{Container: "/still"}, Born: killed.Add(-age)}
		add := func(ago time.Duration, used uint64) {
			track.Fine = append(track.Fine, oom.Sample{Time: killed.Add(-ago), Usage: oom.Of(used), Unreclaimable: oom.Of(used), Anon: oom.Of(used), Limit: oom.Of(limit)})
		}
		for ago := min(age, 2*time.Minute) - 200*time.Millisecond; len(track.Fine) < 3; ago -= time.Second {
			add(ago, limit/3)
		}
		for ago := 1700 * time.Millisecond; ago > 0; ago -= 100 * time.Millisecond {
			add(ago, limit-uint64(ago.Seconds()*22*testMiB))
		}
		k := oom.Kill{Time: killed, Level: oom.LevelContainer, Usage: oom.Of(limit), Limit: oom.Of(limit), Victim: oom.Victim{PID: 7, Comm: "hog", AnonRSS: oom.Of(limit)}}
		if v := Judge(&oom.Recording{Victim: track, Taken: killed}, &k); v.Cause != oom.CauseBurst {
			t.Errorf("at the age of %v: %s: %s", age, v.Cause, v.Sentence)
		}
	}
}

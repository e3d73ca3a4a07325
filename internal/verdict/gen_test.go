// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"math"
	"math/rand/v2"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// mem is what a made-up container has at one moment, in bytes.
type mem struct {
	anon, shmem, kernel float64
	procs               int
}

func (m mem) level() float64 { return m.anon + m.shmem + m.kernel }

// world is a made-up container with a known reason for its end.
type world struct {
	cause    oom.Cause // the truth; unknown where two are true.
	name     string
	grew     oom.Memory // empty: any.
	size     func(t float64) mem
	limit    func(t float64) float64
	cache    float64 // page cache that fills what is left of the limit, up to this.
	longest  float64 // seconds, after which it ends without a kill: a fault of the world.
	sibling  func(t float64) float64
	pod      bool
	left     float64 // what the pod has that no container has.
	node     bool
	blind    bool    // nothing is recorded.
	gap      float64 // the recorder stopped so long before the kill.
	bornLate float64 // the container begins when the cgroup is this old.
	lossy    float64 // share of samples that are missing.
	usage    bool    // the recorder has usage alone.
	one      bool    // the memory is that of one process.
}

// noise is a smooth and a jittering wave of amplitude 1, the same for the same t;
// one in four is none at all.
func noise(r *rand.Rand) func(t float64) float64 {
	if r.IntN(4) == 0 {
		return func(float64) float64 { return 0 }
	}
	a, b, c := r.Float64()*100, r.Float64()*100, r.Float64()*100
	p, q := 3+r.Float64()*20, 20+r.Float64()*60
	seed := r.Uint64()
	return func(t float64) float64 {
		h := (uint64(t) + seed) * 0x9e3779b97f4a7c15
		h ^= h >> 29
		h *= 0xbf58476d1ce4e5b9
		jitter := float64(h>>40)/(1<<24)*2 - 1
		return 0.35*math.Sin((t+a)/p) + 0.35*math.Sin((t+b)/q+c) + 0.3*jitter
	}
}

func between(r *rand.Rand, a, b float64) float64 { return a + r.Float64()*(b-a) }

// logBetween favours no order of magnitude.
func logBetween(r *rand.Rand, a, b float64) float64 {
	return math.Exp(between(r, math.Log(a), math.Log(b)))
}

// warm rises from nothing to 1 in w seconds.
func warm(t, w float64) float64 { return min(1, t/w) }

func fixed(limit float64) func(float64) float64 { return func(float64) float64 { return limit } }

// kinds puts a level into one kind of memory, most of it.
func kinds(r *rand.Rand, level func(t float64) float64) (func(t float64) mem, oom.Memory) {
	pick := r.IntN(10)
	rest := between(r, 0, 0.1)
	return func(t float64) mem {
			l := max(0, level(t))
			m := mem{procs: 3}
			switch {
			case pick < 7:
				m.anon, m.kernel = l*(1-rest), l*rest
			case pick < 9:
				m.shmem, m.anon = l*(1-rest), l*rest
			default:
				m.kernel, m.anon = l*(1-rest), l*rest
			}
			return m
		}, []oom.Memory{
			oom.MemoryAnon, oom.MemoryAnon, oom.MemoryAnon, oom.MemoryAnon, oom.MemoryAnon, oom.MemoryAnon, oom.MemoryAnon,
			oom.MemoryShmem, oom.MemoryShmem, oom.MemoryKernel,
		}[pick]
}

// maker draws a world at random.
type maker struct {
	cause oom.Cause
	make  func(r *rand.Rand, c float64) world // c is the limit.
}

func makers() []maker {
	return []maker{
		{oom.CauseStartup, makeStartup},
		{oom.CauseLeak, makeLeak},
		{oom.CauseBurst, makeBurst},
		{oom.CauseSteady, makeSteady},
		{oom.CauseLimitLowered, makeLowered},
		{oom.CauseSibling, makeSibling},
		{oom.CauseNode, makeNode},
		{oom.CauseProcesses, makeProcesses},
		{oom.CauseRestartDebt, makeDebt},
		{oom.CauseUnknown, makeUnclear},
	}
}

func makeStartup(r *rand.Rand, c float64) world {
	life, n := logBetween(r, 2, 55), noise(r)
	shape := r.IntN(4)
	level := func(t float64) float64 {
		x := t / life
		switch shape {
		case 1:
			x = math.Sqrt(max(0, x))
		case 2:
			x *= x
		case 3:
			x = math.Floor(x*6) / 6 * 1.2
		}
		return c * (1.02*x + 0.01*n(t))
	}
	size, grew := kinds(r, level)
	w := world{name: []string{"straight", "slowing", "speeding", "in steps"}[shape], size: size, grew: grew, limit: fixed(c), longest: 90}
	if r.IntN(3) == 0 { // it forks its workers first, and then all of them grow.
		workers := between(r, 8, 60)
		w.name += ", with workers"
		w.size = func(t float64) mem {
			m := size(t)
			m.procs = 1 + int(workers*min(1, t/(0.1*life)))
			return m
		}
	}
	return w
}

func makeLeak(r *rand.Rand, c float64) world {
	base, wake, n := between(r, 0.05, 0.4)*c, between(r, 3, 40), noise(r)
	life := logBetween(r, 720, 20*3600)
	idle := 0.0
	w := world{limit: fixed(c), longest: life * 2.5, one: r.IntN(2) == 0}
	shape := r.IntN(4)
	w.name = []string{"straight", "sawtooth", "stairs", "after an idle time"}[shape]
	amp, period := between(r, 0.08, 0.3)*c, logBetween(r, 15, life/12)
	steps, wobble := float64(8+r.IntN(30)), between(r, 0, 0.02)*c
	if shape == 3 {
		idle = between(r, 0.1, 2) * life
	}
	level := func(t float64) float64 {
		x := max(0, t-idle) / life
		l := base*warm(t, wake) + wobble*n(t)
		switch shape {
		case 1:
			l += (c-base-amp)*x + amp*math.Mod(t, period)/period
		case 2:
			l += (c - base) * math.Floor(x*steps) / (steps - 1)
		default:
			l += (c - base) * x
		}
		return l
	}
	w.longest = idle + life*1.5
	w.size, w.grew = kinds(r, level)
	return w
}

func makeBurst(r *rand.Rand, c float64) world {
	base, n := between(r, 0.15, 0.8)*c, noise(r)
	at, takes := logBetween(r, 200, 10*3600), logBetween(r, 0.3, 45)
	waves := between(r, 0, 0.1) * (c - base)
	wake := between(r, 3, 40)
	shape := r.IntN(3)
	fills := between(r, 0.02, 0.1) * at
	level := func(t float64) float64 {
		l := base * warm(t, wake)
		if shape == 1 { // a cache that filled.
			l = base * (0.5*warm(t, wake) + 0.5*(1-math.Exp(-t/fills)))
		}
		l += waves * n(t)
		if t > at {
			l += (c*1.05 - base + waves) * min(1, (t-at)/takes)
		}
		return l
	}
	size, grew := kinds(r, level)
	return world{name: []string{"plateau", "filled cache", "plateau"}[shape], size: size, grew: grew, limit: fixed(c), longest: at + 60}
}

func makeSteady(r *rand.Rand, c float64) world {
	base, n := between(r, 0.9, 0.96)*c, noise(r)
	wobble := between(r, 0.01, 0.03) * c
	life := logBetween(r, 200, 5*3600)
	wake := between(r, 3, 40)
	level := func(t float64) float64 {
		l := base*warm(t, wake) + wobble*n(t)
		if t > life {
			l += 0.005 * c * (t - life)
		}
		return min(l, base+wobble*2+max(0, t-life)*c)
	}
	size, _ := kinds(r, level)
	return world{name: "at the limit", size: size, limit: fixed(c), cache: c, longest: life + 120}
}

func makeLowered(r *rand.Rand, c float64) world {
	base, n := between(r, 0.3, 0.8)*c, noise(r)
	at := logBetween(r, 100, 5*3600)
	to := base * between(r, 0.88, 1.01)
	delay := between(r, 0, 20)
	level := func(t float64) float64 {
		l := base*warm(t, 20) + 0.01*base*n(t)
		if t > at+delay {
			l += 0.02 * base * (t - at - delay)
		}
		return min(l, max(base*1.02, to*1.01))
	}
	size, _ := kinds(r, level)
	return world{name: "lowered", size: size, longest: at + 120, limit: func(t float64) float64 {
		if t >= at {
			return to
		}
		return c
	}}
}

func makeSibling(r *rand.Rand, c float64) world {
	own, n := between(r, 0.2, 0.5)*c, noise(r)
	other := between(r, 0.1, 0.3) * c
	at := logBetween(r, 100, 5*3600)
	takes := logBetween(r, 1, 3600)
	size, _ := kinds(r, func(t float64) float64 { return own*warm(t, 20) + 0.02*own*n(t) })
	return world{name: "another container grew", size: size, limit: fixed(c), pod: true, longest: at + takes + 60, sibling: func(t float64) float64 {
		l := other * warm(t, 20)
		if t > at {
			l += (c - own - other) * 1.1 * (t - at) / takes
		}
		return l
	}}
}

func makeNode(r *rand.Rand, c float64) world {
	w := makeLeak(r, c)
	if r.IntN(2) == 0 {
		w = makeBurst(r, c)
	}
	w.node, w.name = true, "node"
	return w
}

func makeProcesses(r *rand.Rand, c float64) world {
	each := c / between(r, 15, 200)
	start := 1 + float64(r.IntN(5))
	life := logBetween(r, 8, 3600)
	n := noise(r)
	w := world{name: "pool without a bound", grew: oom.MemoryAnon, limit: fixed(c), longest: life * 2}
	forked := func(t float64) float64 { return start + (c/each-start)*1.1*t/life }
	counted := math.Floor // processes are counted once a second.
	if r.IntN(2) == 0 {
		w.size = func(t float64) mem {
			procs := math.Floor(forked(t))
			return mem{anon: each * (procs + 0.05*n(t)), kernel: 8192 * procs, procs: int(forked(counted(t)))}
		}
		return w
	}
	// The parent and its helpers have hardly any memory, and those that were forked
	// last not yet all of theirs.
	small, youth := float64(1+r.IntN(3)), between(r, 0.2, 3)
	w.name = "pool of a small parent"
	w.size = func(t float64) mem {
		grown := max(0, forked(t)-start-youth/2)
		return mem{anon: each * (grown + 0.03*small + 0.05*n(t)), kernel: 8192 * grown, procs: int(forked(counted(t)) - start + small + 1)}
	}
	return w
}

func makeDebt(r *rand.Rand, c float64) world {
	debt, n := between(r, 0.35, 0.8)*c, noise(r)
	takes := logBetween(r, 4, 200)
	grew := oom.MemoryShmem
	slab := r.IntN(4) == 0
	if slab {
		grew = oom.MemoryKernel
	}
	return world{name: "left behind", grew: grew, limit: fixed(c), longest: takes * 2, bornLate: between(r, 20, 3600), size: func(t float64) mem {
		m := mem{procs: 2, anon: (c-debt)*1.05*t/takes + 0.005*c*(1+n(t))}
		if slab {
			m.kernel = debt
		} else {
			m.shmem = debt
		}
		return m
	}}
}

// makeUnclear makes what must not be told apart, and what cannot be known.
func makeUnclear(r *rand.Rand, c float64) world {
	n := noise(r)
	var w world
	shape := r.IntN(6)
	w.name = []string{"burst within a leak", "rise of 2 to 9 minutes", "slow last tooth of flat teeth", "recorder stopped", "nothing recorded", "both containers grew"}[shape]
	w.limit, w.longest = fixed(c), 20*3600
	var level func(t float64) float64
	base := between(r, 0.15, 0.3) * c
	life := logBetween(r, 1500, 10*3600)
	switch shape {
	case 0:
		level = func(t float64) float64 {
			l := base*warm(t, 20) + 0.5*(c-base)*t/life + 0.005*c*n(t)
			if t > life {
				l += (t - life) / 20 * c
			}
			return l
		}
	case 1:
		takes := between(r, 130, 530)
		level = func(t float64) float64 {
			l := base*warm(t, 20) + 0.005*c*n(t)
			if t > life {
				l += (t - life) / takes * (c - base)
			}
			return l
		}
	case 2:
		period := between(r, 200, 1500)
		life = period * float64(3+r.IntN(10))
		level = func(t float64) float64 {
			high := 0.75
			if t > life {
				high = 1.05
			}
			return base*warm(t, 20) + (c*high-base)*math.Mod(t, period)/period + 0.005*c*n(t)
		}
	case 3:
		w.gap = between(r, 90, 900)
		w2 := makeBurst(r, c)
		w2.name, w2.gap = w.name, w.gap
		return w2
	case 4:
		w2 := makeBurst(r, c)
		w2.name, w2.blind = w.name, true
		return w2
	default:
		w.pod = true
		takes := logBetween(r, 20, 3000)
		grow := func(t float64) float64 { return base*warm(t, 20) + max(0, t-life)/takes*(c-2*base)*0.5 }
		w.sibling = grow
		level = grow
	}
	w.size, _ = kinds(r, level)
	return w
}

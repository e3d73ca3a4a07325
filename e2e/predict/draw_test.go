// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"math"
	"math/rand/v2"
	"path"
	"strconv"
)

// part is one process of a case.
type part struct {
	group   string // path below the case's own group.
	kind    string // of its memory: anon, shmem or map.
	size    int64  // of its RSS, the runtime's included.
	threads int
	adj     int
}

// plan is one case: groups as slice/pod/container, a limit on one of them, and
// processes, of which one grows until the kernel kills.
type plan struct {
	level  string // container, pod or slice.
	scope  string // path of the limited group below the case's own.
	limit  int64
	parts  []part
	grower int
	marked string // group with memory.oom.group, "" for none.
}

// drawPlan draws a case: sizes log-uniform from 1 MiB to half the limit, drawn
// again until all fit in, oom_score_adj 0 with probability 1/2, else uniform.
func drawPlan(rng *rand.Rand, version, adjLow int) plan {
	p := plan{limit: drawLimit(rng, version)}
	containers := []string{"slice/pod0/c0"}
	switch rng.IntN(3) {
	case 0:
		p.level, p.scope = "container", "slice/pod0/c0"
	case 1:
		p.level, p.scope = "pod", "slice/pod0"
		for i := range rng.IntN(3) {
			containers = append(containers, "slice/pod0/c"+strconv.Itoa(i+1))
		}
	default:
		p.level, p.scope = "slice", "slice"
		for i := range rng.IntN(3) {
			containers = append(containers, "slice/pod"+strconv.Itoa(i+1)+"/c0")
		}
	}
	p.parts = make([]part, 2+rng.IntN(7))
	for i := range p.parts {
		q := &p.parts[i]
		q.group = containers[rng.IntN(len(containers))]
		q.kind = []string{"anon", "anon", "shmem", "map"}[rng.IntN(4)]
		if rng.IntN(4) == 0 {
			q.threads = 1 + rng.IntN(8)
		}
		if rng.IntN(2) == 0 {
			q.adj = adjLow + rng.IntN(1001-adjLow)
			if adjLow < 0 && rng.IntN(8) == 0 {
				q.adj = adjLow
			}
		}
	}
	p.drawSizes(rng)
	p.grower = rng.IntN(len(p.parts))
	if version == 2 && rng.IntN(2) == 0 {
		p.marked = containers[rng.IntN(len(containers))]
		if rng.IntN(2) == 0 {
			p.marked = path.Dir(p.marked)
		}
	}
	return p
}

func (p *plan) drawSizes(rng *rand.Rand) {
	for {
		var sum int64
		for i := range p.parts {
			p.parts[i].size = logUniform(rng, mib, p.limit/2)
			sum += p.parts[i].size
		}
		if sum < p.limit*8/10 {
			return
		}
	}
}

// groups are all groups of the plan, parents first.
func (p *plan) groups() []string {
	var all []string
	seen := map[string]bool{".": true}
	var add func(name string)
	add = func(name string) {
		if !seen[name] {
			seen[name] = true
			add(path.Dir(name))
			all = append(all, name)
		}
	}
	for i := range p.parts {
		add(p.parts[i].group)
	}
	add(p.scope)
	if p.marked != "" {
		add(p.marked)
	}
	return all
}

// killable tells whether somebody of the plan may be killed at all.
func (p *plan) killable() bool {
	for i := range p.parts {
		if p.parts[i].adj > -1000 {
			return true
		}
	}
	return false
}

// largestLimit is smaller on v2, which is tested in emulated guests.
func largestLimit(version int) int64 {
	if version == 2 {
		return 96 * mib
	}
	return 160 * mib
}

func drawLimit(rng *rand.Rand, version int) int64 {
	return logUniform(rng, 64*mib, largestLimit(version))
}

func logUniform(rng *rand.Rand, low, high int64) int64 {
	return int64(float64(low) * math.Pow(float64(high)/float64(low), rng.Float64()))
}

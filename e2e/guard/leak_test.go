// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// leak is one case: a process that grows at a rate under a limit.
type leak struct {
	Policy string
	Rate   int // MiB a second.
	Limit  int // MiB.

	Acted    bool // the guard killed, and the kernel did not.
	Kernel   uint64
	Over     time.Duration // how far past the threshold it came, as time.
	OverKnow bool
	Reaction time.Duration
}

// margin is that of the guard's defaults, in bytes.
func (l *leak) margin() int { return marginOf(l.Limit * mib) }

// budget is the time from the threshold to the limit.
func (l *leak) budget() time.Duration {
	return time.Duration(float64(l.margin()) / float64(l.Rate*mib) * float64(time.Second))
}

// bar is the time that the guard must be able to do with, and the share of the
// leaks with more than that which it must meet.
const (
	barTime  = 20 * time.Millisecond
	barShare = 0.95
	// maxRounds bounds the rounds that are judged together: one miss among the
	// dozen leaks of a round tells nothing of 95 %.
	maxRounds = 3
)

// TestLeaks lets processes grow at 1 to 200 MiB/s under limits of 64 MiB to
// 1 GiB, and counts who was first: the guard or the kernel.
func TestLeaks(t *testing.T) {
	root := base(t)
	rng := seeded(t)
	binary, hog := lab.Guard(t), hog(t)
	each := 2
	if full() {
		each = 100
		if emulated() {
			each = 50
		}
	}
	if text := os.Getenv("OOM_E2E_CASES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		each = n
	}
	speed := measure(t)
	all := before(t)
	short := func() bool { met, of := speed.share(all); return float64(met) < barShare*float64(of) }
	for round := 0; round < maxRounds && (round == 0 || short()) && !t.Failed(); round++ {
		for _, policy := range []string{"process", "container"} {
			t.Run(policy, func(t *testing.T) {
				neighbour := start(t, hog, lab.NewGroup(t, path.Join(root, policy+"-calm"), 64*mib), "anon:8M", "say:up")
				neighbour.WaitLine(t, "up")
				g := startGuard(t, binary, root, "--policy="+policy, "--cool-down=1s")
				for i := range each {
					now := draw(rng, policy)
					t.Run(strconv.Itoa(i), func(t *testing.T) {
						together(t, g, hog, path.Join(root, fmt.Sprintf("%s-%d-%d", policy, round, i)), now)
					})
					all = append(all, now...)
				}
				if wrong := g.outcome(t, "failed"); wrong > 0 {
					t.Errorf("%v actions failed:\n%s", wrong, g.Output())
				}
				if !running(neighbour) {
					t.Error("the neighbour that did not grow was killed")
				}
			})
		}
	}
	if t.Failed() {
		return
	}
	after(t, all)
	version := lab.MemoryHierarchy(t).Version
	evidence(t, fmt.Sprintf("guard-v%d.md", version), leakTable(all, version, speed))
	if short() {
		met, of := speed.share(all)
		t.Errorf("%d of %d leaks with more than %v were met, want %.0f %%", met, of, speed.bar(), 100*barShare)
	}
}

// draw is one leak of each rate.
func draw(rng *rand.Rand, policy string) []*leak {
	var leaks []*leak
	for _, rate := range []int{1, 10, 50, 200} {
		leaks = append(leaks, &leak{Policy: policy, Rate: rate, Limit: 64 << rng.IntN(5)})
	}
	return leaks
}

// together runs the leaks at the same time, but in an emulated guest: there two
// of them take all that its CPUs have.
func together(t *testing.T, g *guard, hog, prefix string, leaks []*leak) {
	var groups []*lab.Group // all at once: the guard finds them in one pass.
	for _, l := range leaks {
		groups = append(groups, lab.NewGroup(t, fmt.Sprintf("%s-%d", prefix, l.Rate), int64(l.Limit)*mib))
	}
	for i, l := range leaks {
		t.Run(strconv.Itoa(l.Rate), func(t *testing.T) {
			if !emulated() {
				t.Parallel()
			}
			l.run(t, g, hog, groups[i])
		})
	}
}

// before returns the leaks of earlier runs, for a run in pieces; after keeps
// them for the next.
func before(t *testing.T) []*leak {
	t.Helper()
	var all []*leak
	b, err := os.ReadFile(os.Getenv("OOM_E2E_LEAKS"))
	if err != nil || len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func after(t *testing.T, all []*leak) {
	t.Helper()
	file := os.Getenv("OOM_E2E_LEAKS")
	if file == "" {
		return
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// run lets the process fill all but half a second's growth at once, and then
// leak until somebody kills it.
func (l *leak) run(t *testing.T, g *guard, hog string, group *lab.Group) {
	name := group.Path
	lab.Eventually(t, time.Minute, "the group is watched", func() bool {
		return lab.Scrape(t, g.url).Has("oom_guard_threshold_bytes", "container", name)
	})
	threshold := l.Limit*mib - l.margin()
	filled := max(mib, threshold-l.Rate*mib/2-mib)
	other := start(t, hog, group, "say:up")
	other.WaitLine(t, "up")
	w := watchGroup(t, group, l.Limit*mib)
	p := start(t, hog, group, fmt.Sprintf("anon:%dK", filled>>10), "sleep:200", fmt.Sprintf("rate:%dM", l.Rate), fmt.Sprintf("anon:%dM", 2*l.Limit))
	status := p.Wait(t, 2*time.Minute)
	w.end()
	l.Kernel = kernelKills(t, group)
	if !killed(status) {
		t.Fatalf("the leak ended with %v:\n%s", status, p.Output())
	}
	l.Acted = l.Kernel == 0
	if most := w.peak(t); most > 0 {
		past := max(0, int(most)-threshold)
		l.Over, l.OverKnow = time.Duration(float64(past)/float64(l.Rate*mib)*float64(time.Second)), true
	}
	if !l.Acted {
		t.Logf("%s, %d MiB/s under %d MiB: late (kernel's kills: %d, budget %v)", l.Policy, l.Rate, l.Limit, l.Kernel, l.budget())
		return
	}
	lab.Eventually(t, 10*time.Second, "the kill is logged", func() bool {
		l.Reaction = g.reaction(name)
		return l.Reaction > 0
	})
	w.check(t, g.Output())
	if l.Policy == "container" {
		lab.Eventually(t, 10*time.Second, "the container's other process ends", func() bool { return !running(other) })
	} else if !running(other) {
		t.Errorf("%s: the other process was killed as well", name)
	}
}

// reaction reads the guard's own measurement from its log.
func (g *guard) reaction(group string) time.Duration {
	re := regexp.MustCompile(`outcome=killed [^\n]*cgroup=` + regexp.QuoteMeta(group) + ` [^\n]*reaction=(\S+)`)
	m := re.FindStringSubmatch(g.Output())
	if m == nil {
		return 0
	}
	d, _ := time.ParseDuration(m[1])
	return d
}

func share(all []*leak, of func(*leak) bool) (met, n int) {
	for _, l := range all {
		if of(l) {
			n++
			if l.Acted {
				met++
			}
		}
	}
	return met, n
}

func leakTable(all []*leak, version int, speed speed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# oom_guard against leaks, cgroup v%d\n\n%s.\n\n", version, machine())
	b.WriteString("A process fills its group to half a second before the threshold and then grows at the rate, in steps of 10 ms, under a limit of 64 MiB\n" +
		"to 1 GiB (drawn) and the default margin. \"Met\": the guard killed it and the kernel's oom_kill of the group did not move. The bound is\n" +
		"margin / growth, the time from the threshold to the limit. The reaction is the guard's own: from the look that found the\n" +
		"group about to reach its limit to the kill (policy container: to the end of the last process). Past the threshold is what the group's peak\n" +
		"usage says, in time at that rate: growth must be confirmed, and use up half of the margin, before the guard kills.\n" +
		"Each kill was held against a witness that reads usage and the kernel's counter by itself.\n")
	order := "The four rates leak at the same time."
	if emulated() {
		order = "They leak one after the other."
	}
	fmt.Fprintf(&b, "%s\n\n", order)
	b.WriteString("| growth | policy | leaks | met | bound > 20 ms: leaks | met | share | bound, least to most | reaction p50 | p95 | most | past the threshold p50 | p95 |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, rate := range []int{1, 10, 50, 200} {
		for _, policy := range []string{"process", "container"} {
			row(&b, all, rate, policy)
		}
	}
	met, of := share(all, func(l *leak) bool { return l.budget() > barTime })
	fmt.Fprintf(&b, "\nWith a bound above 20 ms: %d of %d, a share of %.3f.\n", met, of, float64(met)/float64(max(of, 1)))
	speed.describe(&b, all)
	return b.String()
}

func row(b *strings.Builder, all []*leak, rate int, policy string) {
	mine := func(l *leak) bool { return l.Rate == rate && l.Policy == policy }
	met, n := share(all, mine)
	metBar, nBar := share(all, func(l *leak) bool { return mine(l) && l.budget() > barTime })
	var bounds, reactions, past []time.Duration
	for _, l := range all {
		if !mine(l) {
			continue
		}
		bounds = append(bounds, l.budget())
		if l.Acted {
			reactions = append(reactions, l.Reaction)
		}
		if l.OverKnow {
			past = append(past, l.Over)
		}
	}
	part := "-"
	if nBar > 0 {
		part = fmt.Sprintf("%.3f", float64(metBar)/float64(nBar))
	}
	fmt.Fprintf(b, "| %d MiB/s | %s | %d | %d | %d | %d | %s | %s to %s | %s | %s | %s | %s | %s |\n", rate, policy, n, met, nBar, metBar, part,
		quantile(bounds, 0), quantile(bounds, 1), quantile(reactions, 0.5), quantile(reactions, 0.95), quantile(reactions, 1),
		quantile(past, 0.5), quantile(past, 0.95))
}

func quantile(d []time.Duration, q float64) string {
	if len(d) == 0 {
		return "-"
	}
	slices.Sort(d)
	v := d[min(len(d)-1, int(q*float64(len(d))))]
	return fmt.Sprintf("%.1f ms", float64(v)/1e6)
}

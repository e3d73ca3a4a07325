// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// source is a log that is mutated, and what is true of it.
type source struct {
	name  string
	lines []string
	truth map[string][]string // "pid comm" -> "limit victim".
}

func newSource(t *testing.T, name string, f form) source {
	t.Helper()
	recs := capture(t, name)
	s := source{name: name, lines: strings.Split(strings.TrimSuffix(f.render(recs), "\n"), "\n"), truth: map[string][]string{}}
	c := newCollector(Options{})
	for _, r := range recs {
		r.Split, r.Saved, r.Lost = true, true, 0
		c.feed(r)
	}
	for _, r := range c.finish() {
		for i := range r.Kills {
			k := &r.Kills[i]
			s.truth[who(k)] = append(s.truth[who(k)], k.LimitPath+" "+k.VictimPath)
		}
	}
	return s
}

func who(k *oom.Kill) string { return fmt.Sprint(k.Victim.PID, " ", k.Victim.Comm) }

// mutate cuts, splices and doubles lines, and breaks some off.
func mutate(rnd *rand.Rand, a, b []string) []string {
	out := slices.Clone(a)
	span := func(s []string) (int, int) {
		i := rnd.IntN(len(s))
		return i, min(len(s), i+1+rnd.IntN(40))
	}
	for range 1 + rnd.IntN(4) {
		if len(out) == 0 {
			break
		}
		i, j := span(out)
		switch rnd.IntN(6) {
		case 0:
			out = slices.Delete(out, i, j)
		case 1:
			out = slices.Insert(out, rnd.IntN(len(out)), out[i:j]...)
		case 2:
			from, to := span(b)
			out = slices.Insert(out, i, b[from:to]...)
		case 3:
			out = append(out[:i:i], b[rnd.IntN(len(b)):]...)
		case 4:
			out[i] = out[i][:rnd.IntN(len(out[i])+1)]
		case 5:
			out[i] = out[i][rnd.IntN(len(out[i])+1):]
		}
	}
	return out
}

// mutations is how many logs are made; OOM_MUTATIONS=10000 takes longer.
func mutations(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("OOM_MUTATIONS"))
	if os.Getenv("OOM_MUTATIONS") == "" {
		return 1500
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Whatever happens to a log, no kill is told that was not, and none with the
// cgroup of another.
func TestMutatedLogs(t *testing.T) {
	var sources []source
	stamped := lines("", stamp)
	for _, f := range []form{stamped, around("", stamped, perLine(func(s string) string { return "Nov 24 10:00:00 web1 kernel: " + s }))} {
		for _, name := range captureNames(t) {
			if len(capture(t, name)) < 300 && !isOdd(name) {
				sources = append(sources, newSource(t, name, f))
			}
		}
	}
	for seed := range mutations(t) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 16))
		half := len(sources) / 2
		k := rnd.IntN(half) + half*rnd.IntN(2)
		a, b := sources[k], sources[k/half*half+rnd.IntN(half)]
		text := strings.Join(mutate(rnd, a.lines, b.lines), "\n")
		c := newCollector(testOptions())
		if _, err := (Input{Open: opener(text)}).read(c, testOptions()); err != nil {
			t.Fatal(err)
		}
		for _, r := range c.finish() {
			for i := range r.Kills {
				checkTrue(t, fmt.Sprintf("seed %d, %s and %s", seed, a.name, b.name), &r.Kills[i], a, b)
			}
		}
	}
}

func checkTrue(t *testing.T, where string, k *oom.Kill, sources ...source) {
	t.Helper()
	var known []string
	for _, s := range sources {
		known = append(known, s.truth[who(k)]...)
	}
	if len(known) == 0 {
		t.Errorf("%s: a kill that was not: %s", where, who(k))
		return
	}
	for _, pair := range known {
		limit, victim, _ := strings.Cut(pair, " ")
		if (k.LimitPath == "" || k.LimitPath == limit) && (k.VictimPath == "" || k.VictimPath == victim) {
			return
		}
	}
	t.Errorf("%s: %s in %q, limit of %q; true are %q", where, who(k), k.VictimPath, k.LimitPath, known)
}

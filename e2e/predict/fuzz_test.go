// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// near is the kill margin ratio at which people are warned.
const near = 0.10

// kinds are the kinds of memory of the fuzzer, each with the number of steps of
// its verb that a byte is: bytes, or small files of about that size.
var kinds = []struct {
	verb string
	per  int64
	v2   bool // v1 has no number for reclaimable kernel memory: its margin is a lower bound.
}{
	{"anon", 1, false},
	{"shmem", 1, false},
	{"mlock", 1, false},
	{"thp", 1, false},
	{"write", 1, false},
	{"sync", 1, false},
	{"read", 1, false},
	{"map", 1, false},
	{"pipes", 1, false},
	{"sockets", 1, false},
	{"tables", 1, false},
	{"files", 900, false},
	{"names", 1150, false},
	{"kibs", 5600, false},
	{"links", 450, false},
	{"dentries", 192, true},
}

// fuzz is one case: a container that takes one kind of memory after the other,
// with a limit of its own or of its parent.
type fuzz struct {
	limit   int64
	parent  bool // the limit is the parent's.
	sibling int64
	min     int64  // memory.min of the sibling (v2).
	low     bool   // it is memory.low instead.
	swap    int64  // memory.swap.max (v2).
	huge    int64  // bytes of hugetlb pages to begin with, where they are accounted.
	lowered int    // step before which the limit is lowered, -1: never.
	steps   []step // with bytes.
}

// fuzzed is what came of it.
type fuzzed struct {
	fuzz
	done   int     // steps.
	last   float64 // ratio in the last scrape before the kill.
	lowest float64 // before anonymous memory was added to what the steps took.
	grown  int64   // after the first scrape with less than near left.
	alarm  bool    // there was one.
	thp    int64   // bytes of huge pages then: reclaim drops what is zero in them.
	wrong  string
}

// drawFuzz draws a case: two to four kinds, in steps of at most 2 % of the limit.
func drawFuzz(rng *rand.Rand, version int, node *oom.Node) fuzz {
	f := fuzz{limit: logUniform(rng, 24*mib, 64*mib), lowered: -1, parent: rng.IntN(3) == 0}
	if f.parent {
		f.sibling = f.limit / 8
		if version == 2 && rng.IntN(2) == 0 {
			f.min, f.low = f.sibling, rng.IntN(2) == 0
		}
	}
	if version == 2 && node.SwapTotal.Or(0) > 0 && rng.IntN(3) == 0 {
		f.swap = logUniform(rng, mib, 16*mib)
	}
	if version == 2 && node.Hugepages.Or(0) > 0 && rng.IntN(3) == 0 {
		f.huge = 2 * mib * (1 + rng.Int64N(f.limit/(8*mib)))
	}
	var some []int
	for len(some) < 2+rng.IntN(3) {
		if k := rng.IntN(len(kinds)); (version == 2 || !kinds[k].v2) && !slices.Contains(some, k) {
			some = append(some, k)
		}
	}
	for range 50 + rng.IntN(40) {
		k := kinds[some[rng.IntN(len(some))]]
		size := logUniform(rng, f.limit/200, f.limit/50)
		f.steps = append(f.steps, step{k.verb, size})
	}
	if rng.IntN(3) == 0 {
		f.lowered = rng.IntN(40)
	}
	return f
}

func (f *fuzz) String() string {
	var words []string
	for _, k := range kinds {
		var sum int64
		for _, s := range f.steps {
			if s.verb == k.verb {
				sum += s.size
			}
		}
		if sum > 0 {
			words = append(words, fmt.Sprintf("%s %.0f", k.verb, float64(sum)/mib))
		}
	}
	if f.sibling > 0 {
		words = append(words, fmt.Sprintf("sibling %.0f", float64(f.sibling)/mib))
	}
	if f.min > 0 {
		words[len(words)-1] += map[bool]string{true: " low", false: " min"}[f.low]
	}
	if f.huge > 0 {
		words = append(words, fmt.Sprintf("hugetlb %d", f.huge/mib))
	}
	if f.swap > 0 {
		words = append(words, fmt.Sprintf("swap.max %.0f", float64(f.swap)/mib))
	}
	if f.lowered >= 0 {
		words = append(words, fmt.Sprintf("lowered at %d", f.lowered))
	}
	return strings.Join(words, ", ")
}

// TestMarginFuzz has containers take random mixes of all kinds of memory, in small
// steps with a scrape after each, and anonymous memory in the end, until the kernel
// kills. No kill may come while more than a tenth of the limit is left by the scrape
// before it, and none stay away when less is left and the load goes on.
func TestMarginFuzz(t *testing.T) {
	b := newBench(t)
	node, err := b.procs.Node()
	if err != nil {
		t.Fatal(err)
	}
	e := lab.StartExporter(t, "--web.min-interval=0s")
	var all []*fuzzed
	for i := range cases(t, 100*full(5)) {
		f := drawFuzz(b.rng, b.version, &node)
		t.Run(strconv.Itoa(i), func(t *testing.T) { all = append(all, b.fuzz(t, e, f)) })
	}
	writeEvidence(t, b, "margin-fuzz", fuzzTable(b, all))
}

// full is how many times as many cases there are in the long form.
func full(times int) int {
	if os.Getenv("OOM_E2E_FULL") == "" {
		return 1
	}
	return times
}

// container is the running container of a case.
type container struct {
	*member
	b       *bench
	e       *lab.Exporter
	limited *lab.Group
	own     *lab.Group
	files   string
	slot    int
}

func (b *bench) fuzz(t *testing.T, e *lab.Exporter, f fuzz) *fuzzed {
	c := b.contain(t, e, &f)
	out := &fuzzed{fuzz: f, last: c.ratio(t), lowest: math.Inf(1)}
	killed := f.huge > 0 && c.step(t, step{"hugetlb", f.huge})
	for i, s := range f.steps {
		if killed {
			break
		}
		if i == f.lowered {
			out.limit = c.lower(t, f.limit)
			out.last = c.ratio(t)
		}
		if killed = c.step(t, s); killed {
			break
		}
		out.see(t, c, s.size)
		out.lowest = min(out.lowest, out.last)
		out.done++
		if out.last < near {
			break // the load stops here.
		}
	}
	deadline := time.Now().Add(2 * time.Minute)
	for s := (step{"anon", f.limit / 100 / page * page}); !killed; {
		if killed = c.step(t, s); !killed {
			out.see(t, c, s.size)
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody was killed in 2 minutes with %s", &f)
		}
	}
	out.judge(t, c)
	return out
}

// see takes the margin after a step.
func (o *fuzzed) see(t *testing.T, c *container, size int64) {
	t.Helper()
	if o.alarm {
		o.grown += size
	}
	o.last = c.ratio(t)
	if o.last < near && !o.alarm {
		o.alarm = true
		keys := c.limited.Keys(t, "memory.stat")
		o.thp = int64(keys["anon_thp"] + keys["total_rss_huge"]) // one of v2, one of v1.
	}
}

// judge holds the case against the bars: what is warned of may come later by what
// the kernel's counters lag behind, by a step, and by huge pages: reclaim splits
// those that are partly zero, and nothing tells how much of them it will drop.
func (o *fuzzed) judge(t *testing.T, c *container) {
	t.Helper()
	limit := float64(o.limit)
	switch {
	case o.last > near:
		o.wrong = fmt.Sprintf("killed with %.0f %% left", 100*o.last)
	case float64(o.grown) > near*limit+max(0.04*limit, mib)+float64(o.thp):
		o.wrong = fmt.Sprintf("%.0f %% more was to be had", 100*float64(o.grown)/limit)
	}
	if o.wrong != "" {
		stat, _ := os.ReadFile(c.limited.File("memory.stat"))
		t.Errorf("%s with %s, limit %.0f MiB (parent's: %v), after %d steps\n%s", o.wrong, &o.fuzz, limit/mib, o.parent, o.done, stat)
	}
}

// contain makes the groups and starts the load; all of it goes with t.
func (b *bench) contain(t *testing.T, e *lab.Exporter, f *fuzz) *container {
	t.Helper()
	base := path.Join(b.prefix, "fuzz"+strconv.Itoa(int(time.Now().UnixNano())))
	top, own := lab.Unlimited, f.limit
	if f.parent {
		top, own = own, top
	}
	parent := lab.NewGroup(t, base, top)
	c := &container{b: b, e: e, limited: parent, own: lab.NewGroup(t, base+"/c", own)}
	if !f.parent {
		c.limited = c.own
	}
	if b.version == 2 {
		c.limited.Write(t, "memory.swap.max", strconv.FormatInt(f.swap, 10))
	}
	var err error
	if c.files, err = os.MkdirTemp("/dev/shm", "oomx-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(c.files) })
	deaths := make(chan *member, 2)
	members := []*member{}
	t.Cleanup(func() { endAll(t, members, deaths) })
	if f.parent {
		s := lab.NewGroup(t, base+"/s", lab.Unlimited)
		if f.min > 0 {
			s.Write(t, map[bool]string{true: "memory.low", false: "memory.min"}[f.low], strconv.FormatInt(f.min, 10))
		}
		m := b.start(t, s, deaths)
		members = append(members, m)
		m.must(t, "adj 0")
		m.must(t, "sync %s %d", filepath.Join(b.dir, "sibling"), f.sibling)
	}
	c.member = b.start(t, c.own, deaths)
	members = append(members, c.member)
	c.must(t, "adj 1000")
	return c
}

// step has the load take one step, and tells whether it was killed. A step that
// finds no memory and is not killed for it has failed, which v1 does for kernel
// memory.
func (c *container) step(t *testing.T, s step) (killed bool) {
	t.Helper()
	c.slot++
	file := filepath.Join(c.b.dir, "fuzz"+strconv.Itoa(c.slot))
	t.Cleanup(func() { os.Remove(file) })
	var err error
	switch k := kinds[kindOf(s.verb)]; s.verb {
	case "write", "sync":
		err = c.do("%s %s %d", s.verb, file, s.size)
	case "read":
		if err = c.do("sync %s %d", file, s.size); err == nil {
			err = c.do("read %s %d", file, s.size)
		}
		if err == nil {
			err = c.do("read %s %d", file, s.size)
		}
	case "map":
		err = c.do("map %s %d", c.b.coldFile(t, 200+c.slot, 3*mib), s.size)
	case "files", "names", "kibs", "links":
		err = c.do("%s %s %d", s.verb, c.files, max(1, s.size/k.per))
	case "dentries":
		err = c.do("%s %s %d", s.verb, c.b.dir, max(1, s.size/k.per))
	default:
		err = c.do("%s %d", s.verb, s.size)
	}
	if err == nil || strings.Contains(err.Error(), "cannot allocate memory") {
		return false
	}
	if !errors.Is(err, errEnded) {
		t.Fatalf("%s: %v", s.verb, err)
	}
	<-c.ended
	if !c.killed {
		t.Fatalf("%s: the load ended by itself", s.verb)
	}
	return true
}

func kindOf(verb string) int {
	for i := range kinds {
		if kinds[i].verb == verb {
			return i
		}
	}
	return 0
}

// lower lowers the limit to what is in use and cannot be freed, and a third of the
// limit more; it returns what the limit is then.
func (c *container) lower(t *testing.T, limit int64) int64 {
	t.Helper()
	m := c.limited.ReadMemory(t)
	hard := int64(m.Usage) - int64(m.ActiveFile+m.InactiveFile)
	lower := (hard + limit/3) / page * page
	if lower >= limit {
		return limit
	}
	c.limited.SetLimit(t, lower)
	return lower
}

// ratio scrapes the container's kill margin ratio.
func (c *container) ratio(t *testing.T) float64 {
	t.Helper()
	m := lab.ParseMetrics(t, lab.Get(t, c.e.URL+"/metrics?collect[]=container"))
	return m.Value(t, "oom_container_kill_margin_ratio", "container", c.own.Path)
}

func fuzzTable(b *bench, all []*fuzzed) string {
	var rows strings.Builder
	var right int
	for i, f := range all {
		verdict := "held"
		if f.wrong != "" {
			verdict = "**" + f.wrong + "**"
		}
		right += count(f.wrong == "")
		whose := "container"
		if f.parent {
			whose = "parent"
		}
		fmt.Fprintf(&rows, "| %d | %s | %.0f | %s | %d of %d | %.1f | %.1f | %.1f | %s |\n", i, whose, float64(f.limit)/mib, &f.fuzz, f.done, len(f.steps),
			100*f.lowest, 100*f.last, 100*float64(f.grown)/float64(f.limit), verdict)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "Linux %s, cgroup v%d, %s, seed %d: %d of %d held.\n\n", b.kernel, b.version, today(), b.seed, right, len(all))
	fmt.Fprintf(&out, "| case | limit of | MiB | what is taken, in MiB | steps | lowest %% | last %% | then taken %% | |\n|%s\n%s", strings.Repeat("---|", 9), rows.String())
	return out.String()
}

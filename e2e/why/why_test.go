// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package why has the kernel kill containers for reasons that are known, and
// holds what the real exporter says of each against them.
package why

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const mib = 1 << 20

// answer is what is read of /api/v1/why.
type answer struct {
	Kills []struct {
		ID      string `json:"id"`
		Verdict struct {
			Cause      string `json:"cause"`
			Grew       string `json:"grew"`
			Confidence string `json:"confidence"`
			Sentence   string `json:"sentence"`
			Advice     string `json:"advice"`
		} `json:"verdict"`
		Series *struct {
			Gap    float64 `json:"gap_seconds"`
			Points []struct {
				Seconds float64 `json:"seconds"`
			} `json:"points"`
		} `json:"series"`
	} `json:"kills"`
}

// workload is a container that dies for a known reason.
type workload struct {
	cause, grew string
	path        string // of the victim's cgroup.
	run         func(t *testing.T, w *workload, r *rand.Rand)
	got         answer
}

// mark is a number of MiB for the hog.
func mark(n float64) string { return fmt.Sprintf("%dK", int(n*1024)) }

func startup(t *testing.T, w *workload, r *rand.Rand) {
	limit := 24 + r.Float64()*40
	g := lab.NewGroup(t, w.path, int64(limit*mib))
	kind := "anon"
	if w.grew == "shmem" {
		kind = "shmem"
	}
	lab.StartHog(t, g, "adj:1000", "rate:"+mark(limit/(5+r.Float64()*15)), kind+":"+mark(limit*2))
}

func burst(t *testing.T, w *workload, r *rand.Rand) {
	limit := 24 + r.Float64()*40
	g := lab.NewGroup(t, w.path, int64(limit*mib))
	lab.StartHog(t, g, "adj:1000", "anon:"+mark(limit*(0.2+0.4*r.Float64())), fmt.Sprintf("sleep:%d", 25000+r.IntN(20000)), "rate:"+mark(limit/(1+r.Float64()*2)), "anon:"+mark(limit*2))
}

func leak(t *testing.T, w *workload, r *rand.Rand) {
	limit := 32 + r.Float64()*40
	g := lab.NewGroup(t, w.path, int64(limit*mib))
	kind := "anon"
	if w.grew == "kernel" {
		kind = "pipes"
	}
	base := 0.1 + 0.2*r.Float64()
	lab.StartHog(t, g, "adj:1000", kind+":"+mark(limit*base), "rate:"+mark(limit*(1-base)/(66+r.Float64()*8)), kind+":"+mark(limit*2))
}

// pool forks processes of one size, without a bound, until the kernel has killed.
func pool(t *testing.T, w *workload, r *rand.Rand) {
	limit := 32 + r.Float64()*32
	g := lab.NewGroup(t, w.path, int64(limit*mib))
	each := limit / (20 + r.Float64()*20)
	kills := "memory.events"
	if g.Version == 1 {
		kills = "memory.oom_control"
	}
	script := fmt.Sprintf("echo $$ >%s; while ! grep -q 'oom_kill [1-9]' %s; do %s adj:1000 anon:%s >/dev/null 2>&1 & sleep %.2f; done",
		g.File("cgroup.procs"), g.File(kills), lab.Hog(t), mark(each), 0.3+0.3*r.Float64())
	lab.Start(t, exec.Command("sh", "-c", script))
}

// lowered lowers the limit to what is in use.
func lowered(t *testing.T, w *workload, r *rand.Rand) {
	limit := 40 + r.Float64()*40
	g := lab.NewGroup(t, w.path, int64(limit*mib))
	used := limit * (0.4 + 0.3*r.Float64())
	hog := lab.StartHog(t, g, "adj:1000", "anon:"+mark(used), "stop", "rate:256K", "anon:20M")
	hog.WaitStopped(t)
	<-time.After(time.Duration(8+r.IntN(8)) * time.Second)
	g.SetLimit(t, int64((used+2)*mib))
	<-time.After(2 * time.Second)
	hog.Step(t)
}

// sibling grows beside the victim until the limit of both runs out.
func sibling(t *testing.T, w *workload, r *rand.Rand) {
	limit := 48 + r.Float64()*40
	pod := lab.NewGroup(t, filepath.Dir(w.path), int64(limit*mib))
	victim := lab.NewGroup(t, w.path, lab.Unlimited)
	other := lab.NewGroup(t, pod.Path+"/other", lab.Unlimited)
	lab.StartHog(t, victim, "adj:1000", "anon:"+mark(limit*(0.2+0.2*r.Float64())), "stop").WaitStopped(t)
	<-time.After(5 * time.Second)
	lab.StartHog(t, other, "rate:"+mark(limit/(3+r.Float64()*20)), "anon:"+mark(limit*0.9))
}

// steady fills the limit, and what is left of it by page cache.
func steady(t *testing.T, w *workload, r *rand.Rand) {
	limit := 32 + r.Float64()*32
	g := lab.NewGroup(t, w.path, int64(limit*mib))
	file := filepath.Join(t.TempDir(), "cold")
	lab.StartHog(t, g, "adj:1000", "anon:"+mark(limit*0.87), "sleep:66000", "rate:200K", "anon:"+mark(limit))
	// It has little of its own, and is not what is killed.
	steps := []string{"rate:16M"}
	for range 100 {
		steps = append(steps, fmt.Sprintf("file:%s:%s", mark(limit), file))
	}
	lab.StartHog(t, g, steps...)
}

// debt is tmpfs that an earlier instance of the pod's container left.
func debt(t *testing.T, w *workload, r *rand.Rand) {
	limit := 40 + r.Float64()*40
	pod := lab.NewGroup(t, filepath.Dir(w.path), int64(limit*mib))
	left := filepath.Join("/dev/shm", "oom-e2e-"+filepath.Base(t.TempDir())+w.grew+fmt.Sprint(r.Uint32()))
	t.Cleanup(func() { _ = os.Remove(left) })
	first := lab.NewGroup(t, pod.Path+"/first", lab.Unlimited)
	lab.StartHog(t, first, "file:"+mark(limit*(0.4+0.3*r.Float64()))+":"+left, "exit:0").Wait(t, 30*time.Second)
	<-time.After(8 * time.Second)
	g := lab.NewGroup(t, w.path, lab.Unlimited)
	lab.StartHog(t, g, "adj:1000", "rate:"+mark(limit/(10+r.Float64()*10)), "anon:"+mark(limit))
}

// While the bars are not held, the workloads die again, for this many rounds or until
// there are enough of them, whichever is later: a verdict that is wrong among twenty says
// nothing of two in a hundred. The bars are for all together. With OOM_E2E_FULL there are
// enough of each cause.
const rounds, enough = 3, 50

// TestWhyHost has a few of each cause that can be had in a minute and a half,
// all at the same time; OOM_E2E_FULL has more of them. In a guest it is the test
// that runs there.
func TestWhyHost(t *testing.T) {
	t.Parallel()
	lab.Root(t)
	lab.Hog(t)
	e := lab.StartExporter(t)
	each := 2
	switch {
	case full() && inGuest(): // an emulated machine has no more to give.
		each = 2
	case inGuest():
		each = 1
	case full():
		each = 7
	}
	seed := seed(t)
	var all []workload
	more := func(round int) bool {
		if full() {
			return round*each < enough
		}
		return (round < rounds || len(all) < enough) && !held(score(all))
	}
	for round := 0; more(round); round++ {
		batch := draw(each, round)
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			lab.NewGroup(t, parent(round), lab.Unlimited) // first, so that it is removed last.
			die(t, e, batch, seed+uint64(round))
		})
		tell(t, batch)
		all = append(all, batch...)
	}
	judge(t, e, all, seed)
}

// parent is the cgroup of all workloads of a round.
func parent(round int) string { return fmt.Sprintf("/oom-e2e-%d/why%d", os.Getpid(), round) }

// die has all of the workloads killed, and waits until the exporter has said why.
func die(t *testing.T, e *lab.Exporter, batch []workload, seed uint64) {
	var wg sync.WaitGroup
	for i := range batch {
		wg.Go(func() {
			w := &batch[i]
			w.run(t, w, rand.New(rand.NewPCG(seed, uint64(i))))
			w.await(e.URL)
		})
	}
	wg.Wait()
}

// draw makes workloads of each cause. A guest is given those that take more than a
// minute with OOM_E2E_FULL only.
func draw(each, round int) []workload {
	var all []workload
	for _, k := range []struct {
		cause, grew, path string
		run               func(*testing.T, *workload, *rand.Rand)
		slow              bool
	}{
		{"startup", "anon", "start%d", startup, false},
		{"startup", "shmem", "tmpfs%d", startup, false},
		{"burst", "anon", "burst%d", burst, false},
		{"leak", "anon", "leak%d", leak, true},
		{"leak", "kernel", "pipes%d", leak, true},
		{"processes", "anon", "pool%d", pool, false},
		{"limit_lowered", "anon", "lowered%d", lowered, false},
		{"sibling", "anon", "pod%d/victim", sibling, false},
		{"steady", "anon", "steady%d", steady, true},
		{"restart_debt", "shmem", "debt%d/second", debt, false},
	} {
		if k.slow && inGuest() && !full() {
			continue
		}
		for i := range each {
			path := parent(round) + "/" + fmt.Sprintf(k.path, i)
			all = append(all, workload{cause: k.cause, grew: k.grew, path: path, run: k.run})
		}
	}
	return all
}

// await asks until there is a verdict. It asks from the start: other kills of this
// host may fill the exporter's records.
func (w *workload) await(base string) {
	for until := time.Now().Add(3 * time.Minute); time.Now().Before(until) && !w.ask(base); {
		<-time.After(300 * time.Millisecond)
	}
}

// ask takes what the exporter says of the workload, if it was killed.
func (w *workload) ask(base string) bool {
	text, err := lab.GetBy(plainClient(), base+"/api/v1/why?kill="+url.QueryEscape(w.path))
	return err == nil && json.NewDecoder(strings.NewReader(text)).Decode(&w.got) == nil && len(w.got.Kills) == 1 && w.got.Kills[0].Verdict.Cause != ""
}

// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package events_test holds the exporter's books of OOM kills against storms
// of real kills: on this host and, by the same tests, in guests. The truth is
// oom_kill of /proc/vmstat for the number, and e2e/storm, which makes the
// kills, for the names.
//
// The environment tunes a run:
//
//	OOM_E2E_SEED      seed of the draws; printed, drawn by time if not given.
//	OOM_E2E_EVIDENCE  directory to write the tables to.
//	OOM_E2E_FULL      also what takes too long for CI.
//	OOM_E2E_STRETCH   how many times slower storms are: emulated machines are slow.
//	OOM_E2E_GUEST     set in a guest, to its name.
package events_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	mib = 1 << 20

	// groupLimit is the limit in which a kill costs the least.
	groupLimit = 1 * mib
)

// bench is what the tests of this package share.
type bench struct {
	lab.Hierarchy
	prefix  string // the group that all lie in.
	seed    uint64
	rng     *rand.Rand
	stretch float64
	kills   int // drawn so far: each victim has a name of its own.
}

func newBench(t *testing.T) *bench {
	t.Helper()
	lab.Root(t)
	b := &bench{Hierarchy: lab.MemoryHierarchy(t), stretch: 1, seed: uint64(time.Now().UnixNano()) % 1e6}
	for name, parse := range map[string]func(string) error{
		"OOM_E2E_SEED":    func(s string) (err error) { b.seed, err = strconv.ParseUint(s, 10, 64); return },
		"OOM_E2E_STRETCH": func(s string) (err error) { b.stretch, err = strconv.ParseFloat(s, 64); return },
	} {
		if text := os.Getenv(name); text != "" {
			if err := parse(text); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", b.seed, b.seed)
	b.rng = rand.New(rand.NewPCG(b.seed, 2))
	b.prefix = fmt.Sprintf("/oom-e2e-%d-%06x", os.Getpid(), b.rng.Uint32()&0xffffff)
	lab.NewGroup(t, b.prefix, lab.Unlimited)
	return b
}

// full tells whether there is time for what CI leaves out.
func full() bool { return os.Getenv("OOM_E2E_FULL") != "" }

// long returns the first where there is time for what CI leaves out, else the
// second.
func long(most, short time.Duration) time.Duration {
	if full() {
		return most
	}
	return short
}

// machine is the guest's name, or this host's.
func (b *bench) machine() string {
	if name := os.Getenv("OOM_E2E_GUEST"); name != "" {
		return name
	}
	return fmt.Sprintf("host-v%d", b.Version)
}

// slow stretches a time for slow machines.
func (b *bench) slow(d time.Duration) time.Duration {
	return time.Duration(float64(d) * b.stretch)
}

// container is a group that looks like a container of Kubernetes. Its names
// are what stands in for those that only a runtime would know.
type container struct {
	*lab.Group // nil: it does not exist.
	path       string
	key        key
}

// podMark stands in the UID of all pods of these tests.
const podMark = "-e2e0-"

// key is how a container's series are labelled.
type key struct{ pod, name string }

// pod is a group that looks like a pod of Kubernetes.
type pod struct {
	*lab.Group
	uid string
}

func (b *bench) pod(t testing.TB, limit int64) pod {
	t.Helper()
	uid := fmt.Sprintf("%08x%s4000-8000-%012x", b.rng.Uint32(), podMark, b.rng.Uint64()>>16)
	p := pod{uid: uid, Group: lab.NewGroup(t, path.Join(b.prefix, "kubepods/burstable/pod"+uid), limit)}
	if b.Version == 2 { // the groups that storms make in it have limits.
		p.Write(t, "cgroup.subtree_control", "+memory")
	}
	return p
}

// name draws a container of the pod that does not exist yet.
func (b *bench) name(p pod) container {
	id := fmt.Sprintf("%016x%016x%016x%016x", b.rng.Uint64(), b.rng.Uint64(), b.rng.Uint64(), b.rng.Uint64())
	return container{path: path.Join(p.Path, id), key: key{p.uid, id[:12]}}
}

func (b *bench) container(t testing.TB, p pod, limit int64) container {
	t.Helper()
	c := b.name(p)
	c.Group = lab.NewGroup(t, c.path, limit)
	return c
}

// containers makes n containers, eight in a pod.
func (b *bench) containers(t testing.TB, n int, limit int64) []container {
	t.Helper()
	all := make([]container, 0, n)
	var p pod
	for i := range n {
		if i%8 == 0 {
			p = b.pod(t, lab.Unlimited)
		}
		all = append(all, b.container(t, p, limit))
	}
	return all
}

// removeAll removes containers, and pods that are empty then.
func removeAll(t testing.TB, all []container) {
	t.Helper()
	for _, c := range all {
		lab.Eventually(t, 10*time.Second, "rmdir "+c.path, func() bool {
			err := os.Remove(c.File(""))
			return err == nil || os.IsNotExist(err)
		})
		_ = os.Remove(filepath.Dir(c.File(""))) // until the last one it is not empty.
	}
}

// comm draws the name of the next victim. Some have what log lines are made
// of in them.
func (b *bench) comm() string {
	b.kills++
	start := []string{"storm-", "a)b(", "x,pid=1,", "c:\\"}[b.rng.IntN(4)]
	return start + strconv.Itoa(b.kills)
}

// plan spreads kills evenly over the time and over the containers, in a random
// order.
func (b *bench) plan(all []container, kills int, over time.Duration) []lab.Death {
	order := b.rng.Perm(len(all))
	plan := make([]lab.Death, kills)
	for i := range plan {
		plan[i] = lab.Death{
			At: b.slow(over) * time.Duration(i) / time.Duration(kills), Life: lab.Lasting,
			Comm: b.comm(), Path: all[order[i%len(all)]].path,
		}
	}
	return plan
}

// storm makes the kills of the plan to the end.
func (b *bench) storm(t testing.TB, plan []lab.Death) ([]lab.Death, time.Duration) {
	t.Helper()
	return lab.StartStorm(t, b.Hierarchy, groupLimit, plan).Deaths(t)
}

// keyOf returns the labels of a container by its path.
func keyOf(p string) key {
	id := path.Base(p)
	return key{strings.TrimPrefix(path.Base(path.Dir(p)), "pod"), id[:min(12, len(id))]}
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const noRank = 1 << 30

// entry is what is known of one container, living or dead.
type entry struct {
	found
	rank      int    // of the source that gave the workload, noRank if none did.
	imageRank int    // the same of the image, worse where it is only a digest.
	asked     uint64 // one bit for each source that was asked about it.
	path      string // of the group that has the name.
	tree      uint64 // number of the last tree that had the group, 0 if none had.
	born      time.Time
	seen      time.Time
}

func (e *entry) named() bool { return e.rank != noRank }

// podEntry is what is known of one pod.
type podEntry struct {
	namespace, name string
	rank            int
	vague           bool
	seen            time.Time
}

// cache holds the names: of the living as long as they live, of the dead for
// a time, and never more than a number. Its methods need Namer's lock.
type cache struct {
	containers map[string]*entry
	pods       map[string]*podEntry
	limit      int
	ttl        time.Duration
	tree       uint64 // number of the last tree.
	swept      time.Time
	full       time.Time // when there was last no room to be made.
}

func newCache(limit int, ttl time.Duration) *cache {
	return &cache{
		containers: make(map[string]*entry),
		pods:       make(map[string]*podEntry),
		limit:      limit,
		ttl:        ttl,
	}
}

// container returns the entry of an id, a new one if need be; nil where there
// is no room.
func (c *cache) container(id string, now time.Time) (e *entry, fresh bool) {
	if e, ok := c.containers[id]; ok {
		e.seen = now
		return e, false
	}
	if len(c.containers) >= c.limit && !c.makeRoom(now) {
		return nil, false
	}
	e = &entry{found: found{ID: strings.Clone(id)}, rank: noRank, imageRank: noRank, born: now, seen: now}
	c.containers[e.ID] = e
	return e, true
}

func (c *cache) pod(uid string, now time.Time) *podEntry {
	if p, ok := c.pods[uid]; ok {
		p.seen = now
		return p
	}
	if len(c.pods) >= c.limit && !c.makeRoom(now) {
		return nil
	}
	p := &podEntry{rank: noRank, seen: now}
	c.pods[strings.Clone(uid)] = p
	return p
}

// claim gives the name to the group at path, which is in the tree now, unless
// another living group has it.
func (c *cache) claim(e *entry, path string) {
	if e.path == "" || !c.alive(e) {
		e.path = path
	}
	if e.path == path {
		e.tree = c.tree
	}
}

// alive tells whether the group was in one of the last two trees: when a new
// one is read, its dead are not known yet.
func (c *cache) alive(e *entry) bool { return e.tree > 0 && e.tree+1 >= c.tree }

// learn takes in what the source of that rank found; lower ranks are believed
// more, and what they leave open the others may fill in.
func (c *cache) learn(rank int, f found, now time.Time) {
	workload := oom.Workload{
		Namespace: Clean(f.Workload.Namespace, maxLabel),
		Pod:       Clean(f.Workload.Pod, maxLabel),
		Container: Clean(f.Workload.Container, maxLabel),
	}
	c.learnPod(rank, f.PodUID, workload, now)
	if p := c.pods[f.PodUID]; p != nil && f.Vague {
		p.vague = true
	}
	if f.ID == "" {
		return
	}
	e, _ := c.container(f.ID, now)
	if e == nil {
		return
	}
	if rank <= e.rank && workload.Container != "" {
		e.rank, e.Sandbox, e.Rootless, e.Workload = rank, f.Sandbox, f.Rootless, workload
	}
	e.PodUID = cmp.Or(e.PodUID, f.PodUID)
	c.learnPod(e.rank, e.PodUID, e.Workload, now)
	e.Runtime = cmp.Or(e.Runtime, Clean(f.Runtime, maxLabel))
	if strings.HasPrefix(f.Image, "sha256:") {
		rank += noRank / 2
	}
	if f.Image != "" && rank <= e.imageRank {
		e.Image, e.imageRank = Clean(f.Image, maxImage), rank
	}
}

// learnPod takes in a pod's name where the workload has one.
func (c *cache) learnPod(rank int, uid string, workload oom.Workload, now time.Time) {
	if uid == "" || workload.Namespace == "" || workload.Pod == "" {
		return
	}
	if p := c.pod(uid, now); p != nil && rank <= p.rank {
		p.namespace, p.name, p.rank = workload.Namespace, workload.Pod, rank
	}
}

// maxImage is how many bytes of an image's name are kept.
const maxImage = 512

// sweep forgets the dead whose time is over; rarely, for it looks at all.
func (c *cache) sweep(now time.Time) {
	if now.Sub(c.swept) < c.ttl/8 {
		return
	}
	c.swept = now
	for id, e := range c.containers {
		if !c.alive(e) && now.Sub(e.seen) > c.ttl {
			delete(c.containers, id)
		}
	}
	for uid, p := range c.pods {
		if now.Sub(p.seen) > c.ttl {
			delete(c.pods, uid)
		}
	}
}

// makeRoom forgets the eighth of the dead that was seen longest ago, and the
// pods likewise. It tells whether there is room now.
func (c *cache) makeRoom(now time.Time) bool {
	if c.full.Equal(now) {
		return false
	}
	type old struct {
		id   string
		seen time.Time
	}
	oldest := func(all []old, forget func(id string)) {
		slices.SortFunc(all, func(a, b old) int {
			return cmp.Or(a.seen.Compare(b.seen), strings.Compare(a.id, b.id))
		})
		for _, o := range all[:min(len(all), c.limit/8+1)] {
			forget(o.id)
		}
	}
	var dead []old
	if len(c.containers) >= c.limit {
		for id, e := range c.containers {
			if !c.alive(e) {
				dead = append(dead, old{id, e.seen})
			}
		}
		oldest(dead, func(id string) { delete(c.containers, id) })
	}
	if len(c.pods) >= c.limit {
		dead = dead[:0]
		for uid, p := range c.pods {
			if p.seen.Before(now) {
				dead = append(dead, old{uid, p.seen})
			}
		}
		oldest(dead, func(uid string) { delete(c.pods, uid) })
	}
	if len(c.containers) < c.limit && len(c.pods) < c.limit {
		return true
	}
	c.full = now
	return false
}

// name puts the names that are known into the identity of a container or a
// pod. A group that is called as another living one keeps its stand-in: who may
// make groups may give one the name of somebody else's container.
func (c *cache) name(id *oom.Identity, path string) (sandbox bool) {
	e := c.containers[id.ContainerID]
	if e != nil && (!e.named() || !c.mayUse(e, path)) {
		e = nil
	}
	if e != nil {
		sandbox = e.Sandbox
		id.Image = e.Image
		id.Runtime = cmp.Or(id.Runtime, e.Runtime)
		id.PodUID = cmp.Or(id.PodUID, e.PodUID)
		id.Workload.Container = e.Workload.Container
		if e.Workload.Pod != "" {
			id.Workload = e.Workload
		}
		id.StandIn = id.PodUID != "" && id.Workload.Namespace == ""
	}
	if p := c.pods[id.PodUID]; p != nil && p.name != "" && id.Workload.Namespace == "" {
		id.Workload.Namespace, id.Workload.Pod = p.namespace, p.name
		if e != nil || id.Workload.Container == "" {
			id.StandIn = false
		}
	}
	return sandbox
}

// mayUse tells whether the group at path may have the name.
func (c *cache) mayUse(e *entry, path string) bool {
	if users := strings.HasPrefix(path, "/user.slice/"); e.Rootless != users && (e.Rootless || e.Workload.Namespace != "") {
		return false // kubelet puts nothing below user.slice, nor a user anything elsewhere.
	}
	if e.path == "" || e.path == path || !c.alive(e) {
		return true
	}
	rest, ok := strings.CutPrefix(path, e.path)
	return ok && rest[0] == '/'
}

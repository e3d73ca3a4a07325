// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

const noRank = 1 << 30

// entry is what is known of one container, living or dead.
type entry struct {
	found
	groupPod  string   // UID of the pod whose cgroup it is in; found.PodUID is a source's.
	rank      int      // of the source that gave the workload, noRank if none did.
	imageRank int      // the same for the image, worse where it is only a digest.
	asked     uint64   // one bit for each source that was asked about it.
	path      string   // of the group that has the name,
	standing  standing // and what it is worth.
	tree      uint64   // number of the last tree that had the group, 0 if none had.
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
// a time, and never more than limit. Its methods need Namer's lock.
type cache struct {
	containers map[string]*entry
	pods       map[string]*podEntry
	limit      int
	ttl        time.Duration
	tree       uint64 // number of the last tree.
	swept      time.Time
	full       time.Time // when makeRoom last failed.
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

// claim gives the name to the container's cgroup at path, if no other has it. A
// cgroup of higher standing takes it over, and so does one of equal standing that
// only root can have made when the first is gone, as after a restart with another
// driver. Where users other than root make cgroups it never changes hands: they
// could take the names of the dead.
func (c *cache) claim(e *entry, path string, p func() Path) (granted bool) {
	if e.path == path {
		return true
	}
	parsed := p()
	rank := parsed.standing
	if parsed.Helper {
		rank = standingNone // it may be there before its container.
	}
	switch {
	case e.path == "", rank > e.standing:
	case rank == e.standing && rank >= standingNode && !c.alive(e):
	default:
		return false
	}
	if e.standing == standingUser {
		e.found, e.rank, e.imageRank = found{ID: e.ID}, noRank, noRank // some of it may be the user's word.
	}
	e.path, e.standing, e.tree, e.groupPod = path, rank, 0, parsed.PodUID
	return true
}

// alive tells whether the group was in one of the last two trees: when a new
// one is read, its dead are not known yet.
func (c *cache) alive(e *entry) bool { return e.tree > 0 && e.tree+1 >= c.tree }

// learn takes in what the source of that rank found; lower ranks are believed
// more, and what they leave open the others may fill in.
func (c *cache) learn(rank int, f found, now time.Time) {
	if f.Rootless && !c.isUsers(f.ID) {
		return // a user's storage may list anybody's containers.
	}
	f.Workload = oom.Workload{
		Namespace: text.Label(f.Workload.Namespace),
		Pod:       text.Label(f.Workload.Pod),
		Container: text.Label(f.Workload.Container),
	}
	if !f.Claimed {
		c.learnPod(rank, f.PodUID, f.Workload, now)
	}
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
	if rank <= e.rank && f.Workload.Container != "" {
		e.rank, e.Sandbox, e.Rootless, e.Workload = rank, f.Sandbox, f.Rootless, f.Workload
		e.Claimed, e.Own, e.PodUID = f.Claimed, text.Label(f.Own), cmp.Or(f.PodUID, e.PodUID)
	}
	e.PodUID = cmp.Or(e.PodUID, f.PodUID)
	c.learnPodOf(e, now)
	e.Runtime = cmp.Or(e.Runtime, text.Label(f.Runtime))
	if strings.HasPrefix(f.Image, "sha256:") {
		rank += noRank / 2
	}
	if f.Image != "" && rank <= e.imageRank {
		e.Image, e.imageRank = text.Clean(f.Image, maxImage), rank
	}
}

// isUsers tells whether the container is known to be in a user's territory.
func (c *cache) isUsers(id string) bool {
	e := c.containers[id]
	return e != nil && e.standing == standingUser
}

// learnPodOf takes in the name of the container's pod.
func (c *cache) learnPodOf(e *entry, now time.Time) {
	if uid := cmp.Or(e.groupPod, e.PodUID); e.inPod(uid) {
		c.learnPod(e.rank, uid, e.Workload, now)
	}
}

// inPod tells whether what the sources say of the container fits the pod that its
// cgroup is in. A pod that only the container's own name gives, which anybody who
// starts containers may choose, counts only there.
func (e *entry) inPod(uid string) bool {
	switch {
	case e.Claimed:
		return uid != "" && uid == e.PodUID && uid == e.groupPod
	default:
		return uid == "" || e.PodUID == "" || uid == e.PodUID
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

// sweep forgets the dead whose time is over; rarely, since it looks at every entry.
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

// makeRoom forgets the dead that were seen longest ago, up to an eighth of the
// limit, and pods likewise. It tells whether there is room now.
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

// name puts the names that are known into the identity of a pod, or of a
// container with that entry.
func (c *cache) name(id *oom.Identity, e *entry) (sandbox bool) {
	if e != nil && e.named() && e.mayName(id) {
		e.nameContainer(id)
		sandbox = e.Sandbox && id.Workload.Namespace != ""
	} else {
		e = nil
	}
	if p := c.pods[id.PodUID]; p != nil && p.name != "" && id.Workload.Namespace == "" {
		id.Workload.Namespace, id.Workload.Pod = p.namespace, p.name
		if e != nil || id.Workload.Container == "" {
			id.StandIn = false
		}
	}
	return sandbox
}

// mayName tells whether the entry may name such a cgroup: kubelet puts nothing in
// a user's territory, a user puts nothing elsewhere, and a pod's container is in
// the pod's cgroup, or in one that only root can have made.
func (e *entry) mayName(id *oom.Identity) bool {
	users := realmOf(id) != ""
	switch {
	case e.Rootless:
		return users
	case e.Workload.Namespace == "":
		return true
	case users:
		return false
	case id.PodUID == "":
		return e.Own != "" || e.standing >= standingNode
	default:
		return e.inPod(id.PodUID) || e.Own != ""
	}
}

// nameContainer puts the entry's names into the identity.
func (e *entry) nameContainer(id *oom.Identity) {
	realm := realmOf(id)
	id.Image = e.Image
	id.Runtime = cmp.Or(id.Runtime, e.Runtime)
	switch {
	case e.Workload.Namespace == "":
		id.Workload.Container = claimed(realm, id.Runtime, e.Workload.Container)
	case !e.inPod(id.PodUID) || e.Claimed && id.PodUID == "":
		id.Workload.Container = claimed(realm, id.Runtime, e.Own)
	default:
		id.PodUID = cmp.Or(id.PodUID, e.PodUID)
		id.Workload = e.Workload
	}
	id.StandIn = id.PodUID != "" && id.Workload.Namespace == ""
}

// realmOf returns the user's manager that prefixes the stand-in for the name of a
// container in a user's territory; elsewhere it is empty.
func realmOf(id *oom.Identity) string {
	if len(id.ContainerID) < shortDigits {
		return ""
	}
	realm, _ := strings.CutSuffix(id.Workload.Container, "/"+id.ContainerID[:shortDigits])
	if realm == id.Workload.Container {
		return ""
	}
	return realm
}

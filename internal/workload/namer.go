// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-kit/log"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Options says where names are looked for. The zero Options finds none.
type Options struct {
	LogDirs          []string // kubelet's /var/log/containers and /var/log/pods.
	CRISocket        string
	DockerSocket     string
	DockerRoot       string   // /var/lib/docker.
	PodmanRoots      []string // the system's containers/storage: /var/lib/containers/storage.
	RootlessRoots    []string // those of users: HOME/.local/share/containers/storage.
	ContainerdStates []string // /run/containerd.

	MaxNames int           // names kept, of the living and the dead; default 32768.
	TTL      time.Duration // how long the dead are remembered; default 1 h.
	Wait     time.Duration // how long Name waits for groups it has not seen before; default 50 ms.
	Timeout  time.Duration // how long a source may take; default 5 s.
	Logger   log.Logger
	Now      func() time.Time
}

// DefaultOptions returns the usual places below rootfs, "/" or where the
// host's root is mounted. Sockets are not among them: whoever may open them
// rules the node.
func DefaultOptions(rootfs string) Options {
	under := func(paths ...string) []string {
		for i, path := range paths {
			paths[i] = filepath.Join("/", rootfs, path)
		}
		return paths
	}
	return Options{
		LogDirs:     under("/var/log/containers", "/var/log/pods"),
		DockerRoot:  filepath.Join("/", rootfs, "/var/lib/docker"),
		PodmanRoots: under("/var/lib/containers/storage"),
		ContainerdStates: under("/run/containerd", "/run/k3s/containerd", "/run/k0s/containerd",
			"/var/snap/microk8s/common/run/containerd"),
	}
}

// sources lists the places of o, the most believed first.
func (o Options) sources() []source {
	var list []source
	if len(o.LogDirs) > 0 {
		list = append(list, &logDirs{dirs: o.LogDirs})
	}
	if o.CRISocket != "" {
		list = append(list, criSocket{o.CRISocket})
	}
	if len(o.ContainerdStates) > 0 {
		list = append(list, containerdState{o.ContainerdStates})
	}
	if o.DockerSocket != "" {
		list = append(list, dockerSocket{o.DockerSocket})
	}
	if o.DockerRoot != "" {
		list = append(list, dockerFiles{o.DockerRoot})
	}
	if len(o.PodmanRoots) > 0 {
		list = append(list, podmanStorage{roots: o.PodmanRoots})
	}
	if len(o.RootlessRoots) > 0 {
		list = append(list, podmanStorage{roots: o.RootlessRoots, rootless: true})
	}
	return list
}

// Namer finds the names of containers and pods, and keeps them, also for the
// dead. Its methods may be called concurrently.
type Namer struct {
	options Options
	poke    chan struct{} // wakes Run.

	mu      sync.Mutex
	cache   *cache
	ground  ground
	runners []*runner
	attempt int             // lookups since something new appeared.
	due     time.Time       // of the next lookup; zero when nothing lacks a name.
	ctx     context.Context // of all lookups; ends with Run.
	cancel  context.CancelFunc
}

// NewNamer returns a Namer of these sources. It works without Run too; Run
// finds late names sooner.
func NewNamer(o Options) *Namer { return newNamer(o, o.sources()) }

func newNamer(o Options, sources []source) *Namer {
	o.MaxNames = cmp.Or(o.MaxNames, 32768)
	o.TTL = cmp.Or(o.TTL, time.Hour)
	o.Wait = cmp.Or(o.Wait, 50*time.Millisecond)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	n := &Namer{
		options: o,
		poke:    make(chan struct{}, 1),
		cache:   newCache(o.MaxNames, o.TTL),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	for rank, s := range sources {
		r := &runner{source: s, rank: rank}
		switch s.(type) {
		case criSocket, dockerSocket:
			r.given = true
		}
		n.runners = append(n.runners, r)
	}
	return n
}

// Name fills in the names of a classified tree. It waits, not longer than
// Options.Wait in all, only if there are containers it has not seen before.
func (n *Namer) Name(tree *oom.Tree) {
	n.await(n.admit(tree, true))
	n.fill(tree)
}

// NameKnown fills in the names that are known already, also in a tree that is
// not quite fresh. It never waits, but starts to look up what is new, which may be
// gone by the next time.
func (n *Namer) NameKnown(tree *oom.Tree) {
	n.admit(tree, false)
	n.fill(tree)
}

// fill names the groups from the cache.
func (n *Namer) fill(tree *oom.Tree) {
	n.mu.Lock()
	n.findSandboxes(tree)
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if g.Kind == oom.KindPart || g.ContainerID == "" && g.PodUID == "" {
			continue
		}
		e := n.cache.containers[g.ContainerID]
		if e != nil && e.path != "" && e.path != g.Path { // it goes by another one's id.
			g.Kind, g.Identity = oom.KindContainer, refusedIdentity(g.Path)
			continue
		}
		if n.cache.name(&g.Identity, e) && g.Kind == oom.KindContainer {
			g.Kind = oom.KindSandbox
		}
	}
	n.mu.Unlock()

	for i := range tree.Groups {
		adopt(tree, i)
	}
}

// admit notes what is in the tree, and starts lookups if they are due. It
// returns those that are worth a wait, and for which containers. A tree that
// is not fresh may have cgroups that are gone: it counts none as alive.
func (n *Namer) admit(tree *oom.Tree, fresh bool) ([]<-chan struct{}, []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.options.Now()
	if fresh {
		n.cache.tree++
	}
	n.ground.see(tree)
	var unseen, pending []string
	more := false
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if g.PodUID != "" && g.Kind == oom.KindPod {
			n.cache.pod(g.PodUID, now)
		}
		if g.Kind == oom.KindPart || !isID(g.ContainerID) {
			continue
		}
		e, isNew := n.cache.container(g.ContainerID, now)
		if e == nil || !n.cache.claim(e, g.Path, func() Path { return n.ground.parse(g.Path) }) {
			continue
		}
		switch {
		case e.named():
			more = more || fresh && e.tree == 0 // the image, perhaps.
		case isNew || fresh && e.tree == 0:
			unseen = append(unseen, e.ID)
		case now.Sub(e.born) < n.options.Wait:
			pending = append(pending, e.ID) // another scan waits for it right now.
		}
		if isNew || e.tree == 0 {
			e.groupPod = g.PodUID
			n.cache.learnPodOf(e, now)
		}
		if fresh {
			e.tree = n.cache.tree
		}
	}
	n.cache.sweep(now)
	switch {
	case len(unseen) > 0:
		n.attempt = 0
		return n.lookup(now), append(unseen, pending...)
	case len(pending) > 0:
		return n.running(now), pending
	case more || n.isDue(now):
		n.lookup(now)
	}
	return nil, nil
}

// Settle waits for the lookups that run, at most Options.Wait in all: for callers
// that ask only once.
func (n *Namer) Settle() {
	n.mu.Lock()
	running := n.running(n.options.Now())
	n.mu.Unlock()
	n.await(running, nil)
}

// Lookup returns what is known of the group at path, be it alive, dead, or so
// short-lived that no tree ever had it. It never waits; known is false where
// the names are stand-ins, and may be true the next time.
func (n *Namer) Lookup(path string) (id oom.Identity, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	parsed := n.ground.parse(path)
	id = parsed.Identity()
	if !isID(id.ContainerID) {
		n.cache.name(&id, nil)
		return id, !id.StandIn
	}
	now := n.options.Now()
	e, isNew := n.cache.container(id.ContainerID, now)
	if e == nil {
		return id, false
	}
	if e.path != parsed.row && n.cache.alive(e) || !n.cache.claim(e, parsed.row, func() Path { return parsed }) {
		return refusedIdentity(parsed.row), true
	}
	n.cache.name(&id, e)
	if id.StandIn && isNew {
		n.attempt = 0
		n.lookup(now)
	}
	return id, !id.StandIn
}

// SPDX-License-Identifier: Apache-2.0

package oom

// Level says which kind of limit is meant, from the innermost outwards.
type Level uint8

// The levels, in the order in which a tie between margins is decided; LevelNested
// comes before all of them.
const (
	LevelUnknown Level = iota
	LevelContainer
	LevelPod
	LevelSlice
	LevelNUMA
	LevelNode
	LevelNested // a limit inside a container or unit: the innermost, used for margins only.
)

// Levels lists every level that a kill may have; a kill by a limit inside a
// container has the container's level.
func Levels() []Level {
	return []Level{LevelContainer, LevelPod, LevelSlice, LevelNode, LevelNUMA, LevelUnknown}
}

// String returns the level as it stands in labels.
func (l Level) String() string {
	switch l {
	case LevelNested:
		return "nested"
	case LevelContainer:
		return "container"
	case LevelPod:
		return "pod"
	case LevelSlice:
		return "slice"
	case LevelNUMA:
		return "numa"
	case LevelNode:
		return "node"
	default:
		return "unknown"
	}
}

// Kind says what a memory cgroup is to the people who run it.
type Kind uint8

// The kinds of a group.
const (
	KindSlice     Kind = iota // holds other groups: a slice, a QoS level, a container of containers.
	KindRoot                  // the root of the hierarchy: the node itself.
	KindPod                   // a Kubernetes pod.
	KindContainer             // a workload: a container, a systemd unit, any other leaf.
	KindPart                  // a helper or a sub-group: it counts for the group that Owner names.
	KindSandbox               // a pause container; it appears only with a kill.
)

// Workload names a workload as people do; what does not apply is empty.
// A Docker container and a systemd unit have only Container.
type Workload struct {
	Namespace, Pod, Container string
}

// QoS is a Kubernetes quality-of-service class; empty outside Kubernetes.
type QoS string

// The QoS classes.
const (
	QoSGuaranteed QoS = "guaranteed"
	QoSBurstable  QoS = "burstable"
	QoSBestEffort QoS = "besteffort"
)

// Identity is all that is known about what runs in a group.
type Identity struct {
	Workload    Workload
	Runtime     string // containerd, cri-o, docker, podman, systemd, lxc, nspawn; empty if unknown.
	ContainerID string // full id, as in the path.
	PodUID      string // with dashes, or 32 hex digits for a static pod.
	Unit        string // systemd unit.
	Image       string
	QoS         QoS
	StandIn     bool // Workload holds ids because no name was found (yet).
}

// GroupID identifies a group over its life: a path alone may be used again.
type GroupID struct {
	Path  string
	Inode uint64
}

// Stat holds the parts of memory.stat that matter, in bytes, each including
// the group's descendants (v1: the total_ keys).
type Stat struct {
	Anon, File, Shmem, Kernel    Amount // Kernel is memory.kmem.usage_in_bytes on v1.
	AnonHuge                     Amount // part of Anon: transparent huge pages.
	ActiveFile, InactiveFile     Amount
	SlabReclaimable, Unevictable Amount // SlabReclaimable is unset on v1: there is no such key.
	Swap                         Amount // v1: total_swap, where swap accounting is on.
}

// Events holds a cgroup's counters. Max and High are how often its own limits
// were hit (v1: failcnt). OwnKills counts processes killed in this very cgroup;
// TreeKills adds those of its descendants, removed ones included (v2 only; unset
// on v1). OOMs are those of the cgroup's own limit, GroupKills the times that it
// was killed as a whole (memory.oom.group); TreeGroupKills adds those of its
// descendants, as TreeKills does.
type Events struct {
	Max, High, OOMs            Amount
	OwnKills, TreeKills        Amount
	GroupKills, TreeGroupKills Amount
}

// Pressure is memory PSI: cumulative stall time in microseconds.
type Pressure struct {
	WaitingMicros, StalledMicros Amount // "some" and "full".
}

// Group is one memory cgroup at one moment. Sizes are in bytes.
type Group struct {
	GroupID
	Parent int // index of the parent in Tree.Groups, -1 for the root.
	Owner  int // index of the group whose row this one counts for; its own when it has a row.
	Kind   Kind
	UID    uint32 // the user who may make cgroups in the directory: its owner, or Anybody.
	Identity

	Usage, Peak            Amount
	Limit, High, Min       Amount
	SwapUsage, SwapLimit   Amount // v2: memory.swap.*.
	MemswUsage, MemswLimit Amount // v1: memory.memsw.*.
	Stat                   Stat
	SlabPinned             uint64 // part of Stat.SlabReclaimable that reclaim cannot free, as far as it is known.
	Events                 Events
	Pressure               Pressure
	Swappiness             Amount // v1: memory.swappiness of the group.
	Hierarchical           bool   // the group's limit counts descendants; v1: memory.use_hierarchy.
	OOMGroup               bool   // memory.oom.group is 1.
	KillDisabled, UnderOOM Amount // v1: memory.oom_control.
	Mems                   []int  // NUMA nodes of cpuset.mems.effective where they are fewer than the node's.
	PIDs                   []int32
	UsageUnchanged         bool   // usage is what it was in the last pass, and at most half of the limits.
	Unchanged              bool   // UsageUnchanged, and PIDs, Stat and Peak are from an earlier pass.
	StartTime              Amount // when the cgroup was made, in seconds of Unix time.
}

// Anybody stands in Group.UID where the directory's mode lets others than its
// owner write. No user has that number.
const Anybody = ^uint32(0)

// WorkingSet is what kubelet and cAdvisor call the working set: usage minus
// inactive_file, floored at 0.
func (g *Group) WorkingSet() Amount {
	usage, ok := g.Usage.Get()
	inactive, ok2 := g.Stat.InactiveFile.Get()
	if !ok || !ok2 {
		return Amount{}
	}
	if inactive > usage {
		return Of(0)
	}
	return Of(usage - inactive)
}

// Tree is the memory hierarchy in pre-order: parents before children, and
// Groups[0] is the root.
type Tree struct {
	Version int // 1 or 2.
	Groups  []Group
	Source  string // what the numbers were read by: ByBPF or ByCgroupfs; memory.stat is always a file.
	Folded  uint64 // workloads shown as a part of another one, because there are too many.
}

// Skipped counts what a pass did not read, by reason.
type Skipped struct {
	VanishedGroups, UnreadableGroups, GroupsOverBound          uint64
	VanishedProcesses, UnreadableProcesses, ProcessesOverBound uint64
	GroupsTooDeep                                              uint64
	WorkloadsFolded, VictimsOverBound, SeriesOverBound         uint64
	Crowd                                                      Crowd
}

// Crowd is the cgroup with the most children left out by a bound.
type Crowd struct {
	Path    string
	LeftOut uint64
}

// Add adds other's counts.
func (s *Skipped) Add(other Skipped) {
	s.VanishedGroups += other.VanishedGroups
	s.UnreadableGroups += other.UnreadableGroups
	s.GroupsOverBound += other.GroupsOverBound
	s.VanishedProcesses += other.VanishedProcesses
	s.UnreadableProcesses += other.UnreadableProcesses
	s.ProcessesOverBound += other.ProcessesOverBound
	s.GroupsTooDeep += other.GroupsTooDeep
	s.WorkloadsFolded += other.WorkloadsFolded
	s.VictimsOverBound += other.VictimsOverBound
	s.SeriesOverBound += other.SeriesOverBound
	if other.Crowd.LeftOut > s.Crowd.LeftOut {
		s.Crowd = other.Crowd
	}
}

// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Kernel is what the guard reads. Its methods may be called concurrently. The error
// for a group or process that is gone is ErrGone or fs.ErrNotExist.
type Kernel interface {
	// Scan reads the whole hierarchy, classified and named, and the node.
	Scan() (oom.Node, oom.Tree, error)
	// Group reads one group as it is now.
	Group(path string) (oom.Group, error)
	// Recheck reads what the last check before a kill needs to know about the group
	// with this identity.
	Recheck(id oom.GroupID) (Reading, error)
	// Members reads the groups below a group that was read just now, and the
	// processes whose memory is charged to it or to one of them.
	Members(group *oom.Group) (Members, error)
	// Runnable tells whether any thread of a group runs or waits for a CPU; in doubt
	// it is true. On a busy node, a group that fills quickly looks like one that grows
	// by steps.
	Runnable(group *oom.Group) bool
	// Sharers returns the processes that share the memory of process i without
	// being threads of it: nothing is freed before they have all ended.
	Sharers(m *Members, i int) ([]Victim, error)
	// Identify returns the names of a group as far as they are known by now.
	Identify(path string) (oom.Identity, bool)
	// Off tells whether the kill switch is thrown; in doubt it is true.
	Off() bool
}

// Reading is what the last check before a kill goes by.
type Reading struct {
	Usage uint64
	Limit oom.Amount
	// Kills is what the kernel has killed in the group: on v1 in this very group,
	// on v2 also below it.
	Kills oom.Amount
}

// Members are the processes of one group. Tree.Groups[0] stands for all that
// is above, Groups[1] is the group asked for, the rest are its descendants.
type Members struct {
	Tree  oom.Tree
	Procs []oom.Process  // with Group, Adj, Start and Comm.
	Dying map[int32]bool // those that have a SIGKILL already.
}

// Victim is a process that was chosen, in the group in which it was found.
type Victim struct {
	oom.Process
	Cgroup oom.GroupID
}

// Ending is the end of a container.
type Ending struct {
	Cgroup   oom.GroupID
	Identity oom.Identity
	// Spare is called for each process; it returns the reason to stop, "" if none.
	Spare func(*oom.Process) string
	// Still is called before the first kill; its error says why nobody need be killed.
	Still func() error
}

// Bell tells when to look. Its methods are called by one goroutine, but for
// Wake.
type Bell interface {
	// Watch opens a meter. Its notices have the token.
	Watch(id oom.GroupID, token uint32) (Meter, error)
	// Observe asks for notices of changes in the tree, as far as the kernel can send
	// them. told is false where it can't: then the guard has to look for itself.
	// missed is true if something may have changed after the tree was read and before
	// anybody listened: then the tree has to be read again.
	Observe(tree *oom.Tree) (told, missed bool)
	// Wait waits for notices, for a Wake or for the timeout.
	Wait(timeout time.Duration) []Notice
	// Wake ends a Wait.
	Wake()
}

// Meter reads the usage of one group, at little cost.
type Meter interface {
	Usage() (uint64, error)
	// Arm asks for a notice when usage crosses one of the marks, in place of
	// those before. It returns false where the kernel can't: the guard polls.
	Arm(marks ...uint64) bool
	// Mute(true) holds the notices back until Mute(false): for a group that stays at
	// its limit, the kernel sends them all the time.
	Mute(on bool)
	Close()
}

// Sum reads the usage of groups at the top, whose growth bounds the growth of
// what is below them. A Bell may be one, too.
type Sum interface {
	// Tops returns the paths and usages of the groups right below the root.
	Tops() map[string]uint64
}

// NoticeKind says what a notice is about.
type NoticeKind uint8

// The kinds of a notice.
const (
	NoticeUsage    NoticeKind = iota // the group's usage has crossed a mark.
	NoticeEvents                     // the group's counters have moved.
	NoticeLimit                      // the group's limit was written.
	NoticeTree                       // groups have come or gone.
	NoticePressure                   // something on the node waits for memory.
)

// Notice is a reason to look.
type Notice struct {
	Kind  NoticeKind
	Token uint32 // of the group, for the first three kinds.
}

// Reclaimer has the kernel reclaim.
type Reclaimer interface {
	// Reclaim frees about that many bytes of a group's page cache, if it can.
	// The error is errors.ErrUnsupported where the kernel has no file for it.
	Reclaim(id oom.GroupID, bytes uint64) error
}

// Killer kills. It looks once more before it does, and does nothing in doubt.
// It returns how many processes were sent SIGKILL, with an error or without:
// each of them counts.
type Killer interface {
	// Process kills processes that share their memory, if each is still the same,
	// still in its group, and still() returns no error.
	Process(victims []Victim, still func() error) (killed int, err error)
	// Container ends all processes of a group and returns when it is empty or
	// ctx ends.
	Container(ctx context.Context, e Ending) (killed int, err error)
}

// Reporter is told of what was done or would have been. It must not wait.
type Reporter interface {
	Report(Action)
}

// The reasons for doing nothing that a Killer and still() give.
var (
	ErrBelow     = errors.New("usage has fallen below the threshold")
	ErrGone      = errors.New("the group or process has gone")
	ErrSpared    = errors.New("a protected process is in the group")
	ErrSwitched  = errors.New("the kill switch is thrown")
	ErrOvertaken = errors.New("the kernel has killed in the meantime")
	ErrStale     = errors.New("what was seen is too old")
)

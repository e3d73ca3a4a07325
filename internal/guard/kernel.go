// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Kernel is what the guard reads. Its methods may be called at the same time.
// A group or process that is gone is fs.ErrNotExist.
type Kernel interface {
	// Scan reads the whole hierarchy, classified and named, and the node.
	Scan() (oom.Node, oom.Tree, error)
	// Group reads one group as it is now.
	Group(path string) (oom.Group, error)
	// Usage reads no more than the usage of the group with this identity.
	Usage(id oom.GroupID) (uint64, error)
	// Members reads the groups below a group that was read just now, and the
	// processes of all of them.
	Members(group *oom.Group) (Members, error)
	// Identify returns the names of a group as far as they are known by now.
	Identify(path string) (oom.Identity, bool)
	// Off tells whether the kill switch is thrown, and in doubt that it is.
	Off() bool
}

// Members are the processes of one group. Tree.Groups[0] stands for all that
// is above, Groups[1] is the group asked for, the rest are its descendants.
type Members struct {
	Tree  oom.Tree
	Procs []oom.Process  // exact, with Group and Adj.
	Dying map[int32]bool // those that have a SIGKILL already.
}

// Bell tells when to look. Its methods are called by one goroutine, but for
// Wake.
type Bell interface {
	// Watch opens a meter. Its notices have the token.
	Watch(id oom.GroupID, token uint32) (Meter, error)
	// Observe makes changes below the group be told, as far as the kernel can.
	// It returns false where it can't, and the guard has to look by itself.
	Observe(tree *oom.Tree) bool
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
	// The error is errors.ErrUnsupported where the kernel has no such file.
	Reclaim(id oom.GroupID, bytes uint64) error
}

// Killer kills. It looks once more before it does, and does nothing in doubt.
type Killer interface {
	// Process kills one process by pidfd if it is still the same, still in the
	// group, and still() says so.
	Process(group oom.GroupID, p oom.Process, still func() error) error
	// Container ends all processes of a group and returns when it is empty or
	// ctx ends. spare is asked for each process and names the reason to stop.
	Container(ctx context.Context, group oom.GroupID, id oom.Identity, spare func(*oom.Process) string, still func() error) error
}

// Reporter is told of what was done or would have been. It must not wait.
type Reporter interface {
	Report(Action)
}

// The reasons for doing nothing that a Killer and still() give.
var (
	ErrBelow    = errors.New("usage has fallen below the threshold")
	ErrGone     = errors.New("the group or process has gone")
	ErrSpared   = errors.New("a protected process is in the group")
	ErrSwitched = errors.New("the kill switch is thrown")
)

// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"bytes"
	"encoding/binary"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// files watches the directories of groups for writes to a limit, counters that
// change (v2: the kernel notifies the directory as well), and groups that come
// and go. It is one inotify instance with a watch for each group.
type files struct {
	kernel *Kernel
	fd     int
	dirs   map[string]int32 // path: watch.
	tokens map[int32]uint32 // watch: group that is watched.
	owners map[uint32]int32 // and back.
	paths  map[int32]string // watch: path.
	buf    [64 << 10]byte
	full   bool // no more watches to be had.
}

const fileEvents = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_ONLYDIR

// newFiles returns nil where there is no inotify instance to be had.
func newFiles(k *Kernel) *files {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	return &files{
		kernel: k, fd: fd, dirs: map[string]int32{}, tokens: map[int32]uint32{},
		owners: map[uint32]int32{}, paths: map[int32]string{},
	}
}

func (f *files) close() { _ = unix.Close(f.fd) }

// dir watches a directory; inotify has one watch for each, however often it is
// asked.
func (f *files) dir(path string) (int32, bool) {
	if wd, ok := f.dirs[path]; ok {
		return wd, true
	}
	wd, err := unix.InotifyAddWatch(f.fd, path, fileEvents)
	if err != nil {
		f.full = f.full || err == unix.ENOSPC
		return 0, false
	}
	f.dirs[path], f.paths[int32(wd)] = int32(wd), path
	return int32(wd), true
}

// group watches the files of one group.
func (f *files) group(path string, token uint32) {
	if wd, ok := f.dir(path); ok {
		f.tokens[wd], f.owners[token] = token, wd
	}
}

// forget ends the notices for a group. Its directory stays watched until the
// kernel ends that, when the directory goes.
func (f *files) forget(token uint32) {
	if wd, ok := f.owners[token]; ok {
		delete(f.owners, token)
		if f.tokens[wd] == token {
			delete(f.tokens, wd)
		}
	}
}

// Observe implements guard.Bell: new groups come below slices and pods, and a
// container without a limit may get one. In a directory that was not watched
// before, a group or a limit that came after the tree was read was missed.
func (b *Bell) Observe(tree *oom.Tree) (told, missed bool) {
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if g.Parent == 0 {
			b.openTop(g.GroupID)
		}
		if b.files == nil || g.Kind == oom.KindPart || g.Kind == oom.KindSandbox {
			continue
		}
		path := filepath.Join(b.kernel.scanned.Mount(), filepath.FromSlash(g.Path))
		_, known := b.files.dirs[path]
		_, watched := b.files.dir(path)
		missed = missed || watched && !known
	}
	return b.files != nil && !b.files.full, missed
}

// read turns the pending events into notices.
func (f *files) read(notices []guard.Notice) []guard.Notice {
	n, err := unix.Read(f.fd, f.buf[:])
	if err != nil || n <= 0 {
		return notices
	}
	tree := false
	for b := f.buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		length := min(int(binary.NativeEndian.Uint32(b[12:])), len(b)-unix.SizeofInotifyEvent)
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+length], []byte{0})
		b = b[unix.SizeofInotifyEvent+length:]
		switch {
		case mask&unix.IN_IGNORED != 0:
			f.ended(wd)
		case mask&unix.IN_Q_OVERFLOW != 0, mask&unix.IN_ISDIR != 0:
			tree = true
		case mask&unix.IN_MODIFY != 0:
			if kind, ok := kindOf(string(name)); ok && f.tokens[wd] != 0 {
				notices = append(notices, guard.Notice{Kind: kind, Token: f.tokens[wd]})
			} else if ok && kind == guard.NoticeLimit {
				tree = true // a group that was not limited may be so now.
			}
		}
	}
	if tree {
		notices = append(notices, guard.Notice{Kind: guard.NoticeTree})
	}
	return notices
}

// ended forgets a watch that the kernel has removed with its directory.
func (f *files) ended(wd int32) {
	path, ok := f.paths[wd]
	if !ok {
		return
	}
	delete(f.paths, wd)
	if f.dirs[path] == wd {
		delete(f.dirs, path)
	}
	if token := f.tokens[wd]; token != 0 {
		delete(f.tokens, wd)
		delete(f.owners, token)
	}
}

// kindOf says what it means that a file has changed.
func kindOf(name string) (guard.NoticeKind, bool) {
	switch name {
	case "memory.max", "memory.limit_in_bytes":
		return guard.NoticeLimit, true
	case "memory.events":
		return guard.NoticeEvents, true
	}
	return 0, false
}

// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// logDirs reads names out of the names of kubelet's log files; all it needs is
// permission to list the directories:
//
//	/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log
//	/var/log/pods/NAMESPACE_POD_UID/CONTAINER/
//
// kubelet makes the pod's directory before the sandbox, the container's
// directory before the container, and the file in /var/log/containers right
// after its start (kubernetes/pkg/kubelet/kuberuntime/kuberuntime_container.go).
// So a group that was there while its pod's directory was empty is the
// sandbox. The other proof, by age, is in sandbox.go.
//
// Nodes keep the files of the dead: there may be a hundred thousand. So only what
// is asked for is taken out of a listing, and a directory that has not changed
// since is not listed again for what it did not have.
type logDirs struct {
	dirs   []string
	listed map[string]*listing // by directory.
}

func (*logDirs) name() string { return "kubelet log directories" }

func (s *logDirs) lookup(ctx context.Context, want []wanted) ([]found, error) {
	var (
		all  = logNames{want: newWantedSet(want), dirs: map[string]string{}}
		errs []error
		read int
	)
	for _, dir := range s.dirs {
		if err := s.read(ctx, dir, &all); err != nil {
			errs = append(errs, err)
			continue
		}
		read++
	}
	names := all.found
	names = append(names, matchCut(all.cut, names, want)...)
	names = append(names, emptyPods(names, all.dirs, want)...)
	if read > 0 {
		// One of the two directories is enough.
		return names, ctx.Err()
	}
	return names, errors.Join(errs...)
}

// read takes what is wanted out of a directory.
func (s *logDirs) read(ctx context.Context, dir string, all *logNames) error {
	if l := s.listed[dir]; l != nil && l.holds(dir) && !l.mayHave(all.want) {
		return nil
	}
	l := newListing(dir)
	err := readNames(ctx, dir, func(name string) {
		l.add(name)
		all.add(dir, name)
	})
	if err != nil {
		delete(s.listed, dir)
		return err
	}
	l.sort()
	if s.listed == nil {
		s.listed = map[string]*listing{}
	}
	s.listed[dir] = l
	return nil
}

// logNames is what is wanted from the directories.
type logNames struct {
	want  wantedSet
	found []found
	cut   []found           // whose ids are cut off.
	dirs  map[string]string // of pods, by UID.
}

func (n *logNames) add(dir, name string) {
	if key, ok := logKey(name); ok && !n.want[key] {
		return
	}
	if f, whole, ok := parseLogName(name); ok && whole {
		n.found = append(n.found, f)
	} else if ok {
		n.cut = append(n.cut, f)
	} else if f, ok := parsePodDir(name); ok {
		n.found = append(n.found, f)
		n.dirs[f.PodUID] = filepath.Join(dir, name)
	}
}

// emptyPods returns the sandboxes among the live containers that have no log
// file: those in pods that had no container yet.
func emptyPods(names []found, dirs map[string]string, want []wanted) []found {
	if len(dirs) == 0 {
		return nil
	}
	listed := make(map[string]bool, len(names))
	for _, f := range names {
		if f.ID != "" {
			listed[f.ID] = true
		}
	}
	var sandboxes []found
	for _, w := range want {
		dir, ok := dirs[w.PodUID]
		if !ok || !w.Live || listed[w.ID] {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 0 {
			continue
		}
		f, _ := parsePodDir(filepath.Base(dir))
		f.ID, f.Sandbox, f.Workload.Container = w.ID, true, sandboxName
		sandboxes = append(sandboxes, f)
	}
	return sandboxes
}

// matchCut finds the containers whose ids kubelet had to cut because a file's
// name can't be longer than 255 bytes.
func matchCut(cutIDs, names []found, want []wanted) []found {
	var matched []found
	for _, f := range cutIDs {
		for _, w := range want {
			if len(f.ID) >= shortDigits && strings.HasPrefix(w.ID, f.ID) {
				whole := f
				whole.ID = w.ID
				matched = append(matched, whole)
			}
		}
		for _, pod := range names {
			if pod.ID == "" && pod.Workload.Pod == f.Workload.Pod && pod.Workload.Namespace == f.Workload.Namespace {
				pod.Vague = true
				matched = append(matched, pod)
			}
		}
	}
	return matched
}

const maxFileName = 255 // ext4's; legacyLogSymlink cuts in front of .log.

// parseLogName reads POD_NAMESPACE_CONTAINER-ID.log. In the longest names the
// id, or more, is cut off at the end: whole is false then and ID what is left.
func parseLogName(name string) (f found, whole, ok bool) {
	base, ok := strings.CutSuffix(name, ".log")
	if !ok {
		return found{}, false, false
	}
	pod, rest, ok := strings.Cut(base, "_")
	namespace, rest, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || pod == "" || namespace == "" || strings.Contains(rest, "_") {
		return found{}, false, false
	}
	f.Workload = oom.Workload{Namespace: namespace, Pod: pod}
	dash := strings.LastIndexByte(rest, '-')
	if dash > 0 && isID(rest[dash+1:]) {
		f.ID, f.Workload.Container = rest[dash+1:], rest[:dash]
		return f, true, true
	}
	if len(name) != maxFileName {
		return found{}, false, false
	}
	if dash > 0 && len(rest)-dash-1 < idDigits && isHex(rest[dash+1:]) {
		f.ID, f.Workload.Container = rest[dash+1:], rest[:dash]
	}
	return f, false, true
}

// parsePodDir reads NAMESPACE_POD_UID.
func parsePodDir(name string) (found, bool) {
	namespace, rest, ok := strings.Cut(name, "_")
	pod, uid, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || namespace == "" || pod == "" || uid == "" || strings.Contains(uid, "_") {
		return found{}, false
	}
	return found{PodUID: uid, Workload: oom.Workload{Namespace: namespace, Pod: pod}}, true
}

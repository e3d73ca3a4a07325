// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// fakeSource knows what it was told. It takes its time, or hangs.
type fakeSource struct {
	called string

	mu    sync.Mutex
	names []found
	err   error
	takes time.Duration
	hang  chan struct{} // not nil: waits for it, whatever the context says.
	asked [][]wanted
}

func (s *fakeSource) name() string { return s.called }

func (s *fakeSource) lookup(ctx context.Context, want []wanted) ([]found, error) {
	s.mu.Lock()
	s.asked = append(s.asked, want)
	names, err, takes, hang := s.names, s.err, s.takes, s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
		return nil, errors.New("woken up")
	}
	select {
	case <-time.After(takes):
		return names, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *fakeSource) set(names []found, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names, s.err = names, err
}

func (s *fakeSource) questions() [][]wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func isApp(id, container string) found {
	return found{ID: id, Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: container}}
}

func isPod(uid string) found {
	return found{PodUID: uid, Workload: oom.Workload{Namespace: "default", Pod: "web-0"}}
}

const (
	podPath  = "/kubepods/burstable/pod" + podUID
	pathA    = podPath + "/" + idA
	pathB    = podPath + "/" + idB
	pathC    = podPath + "/" + idC
	standInA = "|" + podUID + "|" + shortA
)

// later lets a bubble's clock go on.
func later(d time.Duration) { <-time.After(d) }

// scan is what a scrape does, and returns how long it took.
func scan(n *Namer, paths ...string) (*oom.Tree, time.Duration) {
	tree := treeOf(paths...)
	Classify(tree)
	start := time.Now()
	n.Name(tree)
	return tree, time.Since(start)
}

func expectRow(t *testing.T, tree *oom.Tree, path, want string) {
	t.Helper()
	g := find(t, tree, path)
	if got := row(g); got != want {
		t.Errorf("%s is named %q, want %q", path, got, want)
	}
	if standIn := strings.Contains(want, shortA) || strings.Contains(want, shortB) || strings.Contains(want, podUID); g.StandIn != standIn {
		t.Errorf("%s, named %q, says StandIn %v", path, want, g.StandIn)
	}
}

// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestLimit(t *testing.T) {
	h := mustFind(t, options(unpack(t, "v1"), 0))
	tree, _ := mustRead(t, h)
	container := tree.Groups[3].GroupID
	if limit, hits := h.Limit(container); limit != oom.Of(128*mi) || hits != oom.Of(42) {
		t.Errorf("limit %v, hit %v times; want 128 MiB and 42", limit, hits)
	}
	if limit, _ := h.Limit(tree.Groups[0].GroupID); !limit.IsUnlimited() {
		t.Errorf("the root's limit is %v", limit)
	}
	container.Inode++
	if limit, hits := h.Limit(container); limit.IsSet() || hits.IsSet() {
		t.Errorf("another group's inode has limit %v, hit %v times", limit, hits)
	}
	h = mustFind(t, options(unpack(t, "v2"), 0))
	tree, _ = mustRead(t, h)
	for _, g := range tree.Groups {
		if limit, hits := h.Limit(g.GroupID); limit.IsSet() || hits.IsSet() {
			t.Errorf("v2 %s: limit %v, hit %v times; want neither", g.Path, limit, hits)
		}
	}
}

// A cgroup's kills are its own, of this very cgroup, and unset where its file has
// those of its children too.
func TestKills(t *testing.T) {
	h := mustFind(t, options(unpack(t, "v1"), 0))
	tree, _ := mustRead(t, h)
	compared := 0
	for _, g := range tree.Groups {
		if got := h.Kills(g.GroupID); got != g.Events.OwnKills {
			t.Errorf("%s: %v kills, a read of all says %v", g.Path, got, g.Events.OwnKills)
		}
		if g.Events.OwnKills.Or(0) > 0 {
			compared++
		}
	}
	if compared == 0 {
		t.Error("nothing was killed in any cgroup")
	}
	other := tree.Groups[3].GroupID
	other.Inode++
	if got := h.Kills(other); got.IsSet() {
		t.Errorf("another group's inode has %v kills", got)
	}
	h.scope = scopeMaybeTree
	if got := h.Kills(tree.Groups[3].GroupID); got.IsSet() {
		t.Errorf("%v kills where the file may have those of the children", got)
	}
	h = mustFind(t, options(unpack(t, "v2"), 0))
	tree, _ = mustRead(t, h)
	for _, g := range tree.Groups {
		if got := h.Kills(g.GroupID); got.IsSet() {
			t.Errorf("v2 %s: %v kills, want none", g.Path, got)
		}
	}
}

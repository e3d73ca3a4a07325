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

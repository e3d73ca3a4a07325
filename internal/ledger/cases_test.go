// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Kills beyond the bound are counted, as unattributed, and the numbers balance.
func TestMoreKillsThanThereIsRoomFor(t *testing.T) {
	k := newKernel(1, 1)
	k.cluster(1, 1)
	l := begin(t, k, Options{})
	const beyond = 1000
	k.vmstat += maxOpen + beyond
	l.tick()
	v := l.View()
	if err := v.Balance(); err != nil {
		t.Error(err)
	}
	if v.Pending != maxOpen || v.Unattributed != beyond || v.ByLevel[oom.LevelUnknown] != beyond {
		t.Errorf("%d pending, %d unattributed, levels %v; want %d and %d", v.Pending, v.Unattributed, v.ByLevel, maxOpen, beyond)
	}
}

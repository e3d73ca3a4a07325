// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"path/filepath"
	"testing"
)

// TestIDsAreUniqueOverRestarts kills and restarts: with a state file the records
// keep their IDs, and without one no ID comes a second time.
func TestIDsAreUniqueOverRestarts(t *testing.T) {
	for name, state := range map[string]string{"state file": filepath.Join(t.TempDir(), "state"), "no state file": ""} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(1, 2)
			c := k.cluster(1, 2)
			of := map[string]int{} // pid by ID.
			for range 3 {
				begin(t, k, Options{StateFile: state, BootID: "3c9d2b1e-ffff"})
				k.kill(c[0], c[0])
				k.kill(c[1], c[1].parent)
				settled(t, k)
				for _, r := range k.ledger.Records() {
					if pid, known := of[r.ID]; r.ID == "" || known && pid != r.Victim.PID {
						t.Errorf("kill of %d has the ID %q, which that of %d had", r.Victim.PID, r.ID, pid)
					}
					if !r.History {
						of[r.ID] = r.Victim.PID
					}
				}
			}
			if len(of) != 6 {
				t.Errorf("%d IDs, want 6: %v", len(of), of)
			}
		})
	}
}

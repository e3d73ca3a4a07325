// SPDX-License-Identifier: Apache-2.0

package collector

import "testing"

// A family that label sets have no room for would fail the scrape.
func TestLabelSetsHaveRoomForAllFamilies(t *testing.T) {
	if n := len(allFamilies()); n > maxFamilies {
		t.Errorf("%d families, room for %d: let maxFamilies be the next multiple of 64", n, maxFamilies)
	}
}

// Each family is in the table once, whichever kinds of rows have it.
func TestFamiliesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range allFamilies() {
		if seen[f.name] {
			t.Errorf("%s is in the table twice", f.name)
		}
		seen[f.name] = true
		if f.help == "" || f.source == "" {
			t.Errorf("%s has no help or no source", f.name)
		}
	}
}

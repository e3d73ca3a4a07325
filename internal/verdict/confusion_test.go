// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

//nolint:gochecknoglobals // a flag of this test binary, as all golden tests have it.
var update = flag.Bool("update", false, "rewrite the pages that are made from the code")

// matrix counts verdicts by the truth.
type matrix map[oom.Cause]map[oom.Cause]int

func (m matrix) add(truth, said oom.Cause) {
	if m[truth] == nil {
		m[truth] = map[oom.Cause]int{}
	}
	m[truth][said]++
}

// rates are the parts that were right, and wrong without being unknown.
func (m matrix) rates() (right, wrong float64, n int) {
	for truth, row := range m {
		for said, k := range row {
			n += k
			switch {
			case truth == said:
				right += float64(k)
			case said != oom.CauseUnknown:
				wrong += float64(k)
			}
		}
	}
	return right / float64(n), wrong / float64(n), n
}

func (m matrix) String() string {
	var b strings.Builder
	b.WriteString("| truth |")
	for _, c := range allCauses() {
		fmt.Fprintf(&b, " %s |", c)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(allCauses())) + "\n")
	for _, truth := range allCauses() {
		fmt.Fprintf(&b, "| %s |", truth)
		for _, said := range allCauses() {
			if n := m[truth][said]; n > 0 {
				fmt.Fprintf(&b, " %d |", n)
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// judgeMany judges n worlds of each cause, each of a seed of its own.
func judgeMany(t *testing.T, n int, base uint64, told func(seed uint64, w *world, v *oom.Verdict)) matrix {
	t.Helper()
	m := matrix{}
	for i, mk := range makers() {
		for k := range n {
			seed := base + uint64(i*100000+k)
			r := rand.New(rand.NewPCG(seed, 1))
			c := logBetween(r, 32, 32<<10) * (1 << 20)
			w := mk.make(r, c)
			w.cause = mk.cause
			w.lossy = 0.02
			rec, kill, ok := w.record(r)
			if !ok {
				t.Fatalf("%s, %s, seed %d: the world does not end", mk.cause, w.name, seed)
			}
			v := Judge(&rec, &kill)
			m.add(mk.cause, v.Cause)
			told(seed, &w, &v)
		}
	}
	return m
}

// TestLabelledWorlds holds the verdicts against made-up containers of which the
// truth is known.
func TestLabelledWorlds(t *testing.T) {
	const each = 100
	wrong := 0
	grewRight, grewKnown := 0, 0
	m := judgeMany(t, each, 1000, func(seed uint64, w *world, v *oom.Verdict) {
		if v.Cause != w.cause {
			if wrong++; wrong < 60 {
				t.Logf("seed %d: %s, %s: said %s (sure %v): %s", seed, w.cause, w.name, v.Cause, v.Sure, v.Sentence)
			}
			return
		}
		if w.grew != "" && w.cause != oom.CauseUnknown && w.cause != oom.CauseNode {
			grewKnown++
			if v.Grew == w.grew {
				grewRight++
			} else {
				t.Logf("seed %d: %s, %s: grew %s, said %s", seed, w.cause, w.name, w.grew, v.Grew)
			}
		}
	})
	right, falsely, n := m.rates()
	t.Logf("\n%s\n%.1f %% of %d right, %.1f %% wrong; grew: %d of %d right", m, 100*right, n, 100*falsely, grewRight, grewKnown)
	if right < 0.95 || falsely > 0.02 {
		t.Errorf("%.1f %% right, want 95; %.1f %% wrong, want at most 2", 100*right, 100*falsely)
	}
	if m[oom.CauseUnknown][oom.CauseLeak] > 0 {
		t.Error("a leak was claimed where none can be told")
	}
	page := fmt.Sprintf(`# Verdicts on made-up kills

%d containers of each cause, drawn at random (limits of 32 MiB to 32 GiB, sizes, rates, noise, 2 %% of the samples missing), recorded as the flight recorder
does it, and judged. What must not be told apart (a burst within a leak, a rise of 2 to 9 minutes, the slow last tooth of a sawtooth whose troughs
are flat, two containers that grew alike) and what cannot be known (nothing recorded, the recorder stopped a minute before) counts as unknown.
The bars are 95 %% right and at most 2 %% wrong without being unknown.

Written by `+"`go test ./internal/verdict -update`"+`; seeds 1000 + 100000 i + k for the k-th container of the i-th cause.

%s
%.1f %% of %d are right, %.1f %% are wrong, the others are unknown. What grew was right in %d of %d.
`, each, m, 100*right, n, 100*falsely, grewRight, grewKnown)
	golden(t, filepath.Join("..", "..", "docs", "evidence", "verdicts.md"), page)
}

// golden holds a page against the file that was made from it.
func golden(t *testing.T, file, page string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || string(have) != page {
		t.Errorf("%s is not what the code makes (%v); run go test ./internal/verdict -update", file, err)
	}
}

// allCauses lists every cause.
func allCauses() []oom.Cause {
	return []oom.Cause{
		oom.CauseStartup, oom.CauseLeak, oom.CauseBurst, oom.CauseSteady, oom.CauseLimitLowered,
		oom.CauseSibling, oom.CauseNode, oom.CauseProcesses, oom.CauseRestartDebt, oom.CauseUnknown,
	}
}

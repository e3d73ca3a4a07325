// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// risen is a record with a verdict and a series that rises to the limit.
func risen() Kill {
	when := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	k := Kill{
		ID: "b-1", Time: &when, Namespace: "shop", Pod: "web-1", Container: "app", Victim: Victim{PID: 7, Comm: "java"},
		Verdict: &Verdict{
			Cause: "leak", Grew: "anon", Confidence: "high", Sentence: "It grew.", Advice: "Mend it.",
			Processes: []TaskGrowth{{PID: 7, Comm: "java", From: 1 << 20, To: 100 << 20}}, Siblings: []GroupGrowth{{Container: "side", From: 0, To: 1 << 20}},
		},
	}
	var points []oom.SeriesPoint
	for t := -600.0; t <= 0; t += 5 {
		level := uint64((600 + t) / 600 * (100 << 20))
		points = append(points, oom.SeriesPoint{Seconds: t, Unreclaimable: oom.Of(level), Usage: oom.Of(min(level+10<<20, 100<<20)), Limit: oom.Of(100 << 20)})
	}
	k.AddSeries("shop/web-1/app", 0.2, points)
	return k
}

func whyText(t *testing.T, k *Kill, width int) string {
	t.Helper()
	var b strings.Builder
	if err := Why(&b, k, WhyOptions{Width: width, Location: time.UTC}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestWhyFitsTheTerminal draws in every width: no line is wider.
func TestWhyFitsTheTerminal(t *testing.T) {
	k := risen()
	for width := minWhyWidth; width <= maxWhyWidth+10; width += 7 {
		text := whyText(t, &k, width)
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > min(width, maxWhyWidth) && !strings.Contains(line, "─ limit") {
				t.Errorf("width %d: a line of %d: %q", width, n, line)
			}
		}
		for _, part := range []string{"Cause: leak, of anon memory", "It grew.", "java (pid 7): from 1.0 MiB to 100.0 MiB", "side: from 0 B to 1.0 MiB", "What to do: Mend it.", "█", "100.0 MiB |"} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), part) {
				t.Errorf("width %d lacks %q:\n%s", width, part, text)
			}
		}
	}
}

// TestCurveRises reads the curve: each column is at least as high as the one
// before, and the last reaches the top.
func TestCurveRises(t *testing.T) {
	k := risen()
	top, cells := resample(k.Series, -600, 60)
	if top != 100<<20 {
		t.Errorf("the top is %v", top)
	}
	height := func(c *cell) (n int) {
		for row := range curveRows {
			if c.glyph(row, top) == '█' {
				n++
			}
		}
		return n
	}
	for i := 1; i < len(cells); i++ {
		if height(&cells[i]) < height(&cells[i-1]) {
			t.Errorf("column %d falls", i)
		}
	}
	if first, last := height(&cells[0]), height(&cells[len(cells)-1]); first != 0 || last != curveRows {
		t.Errorf("it goes from %d to %d rows, want from 0 to %d", first, last, curveRows)
	}
}

// TestWhyOfHostileAnswers shows an answer in which nothing is as it should be.
func TestWhyOfHostileAnswers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	junk := func() string { return "\x1b[2J\r\n\xff\u202e" + strings.Repeat("w", r.IntN(300)) }
	for range 300 {
		n := func() *uint64 {
			if r.IntN(3) == 0 {
				return nil
			}
			v := r.Uint64() >> r.IntN(64)
			return &v
		}
		k := Kill{Namespace: junk(), Container: junk(), ID: junk(), Victim: Victim{Comm: junk()}, Verdict: &Verdict{
			Cause: junk(), Grew: junk(), Confidence: junk(), Sentence: junk(), Advice: junk(),
			Processes: []TaskGrowth{{Comm: junk(), From: r.Uint64(), To: r.Uint64()}}, Siblings: []GroupGrowth{{Pod: junk()}},
		}, Series: &Series{Of: junk()}}
		for range r.IntN(20) {
			k.Series.Points = append(k.Series.Points, Point{Seconds: -r.Float64() * 1e5, Usage: n(), Unreclaimable: n(), Limit: n()})
		}
		for _, c := range whyText(t, &k, 80) {
			if c < ' ' && c != '\n' || c == utf8.RuneError || c == '\u202e' {
				t.Fatalf("unprintable %q", c)
			}
		}
	}
}

// TestTablesHaveSentencesBelow shows why a kill came about below its row.
func TestTablesHaveSentencesBelow(t *testing.T) {
	k := risen()
	var b strings.Builder
	if err := Table(&b, []Kill{k, {}}, testOptions()); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(b.String(), "\n"); len(lines) != 5 || lines[2] != "    It grew." {
		t.Errorf("got:\n%s", b.String())
	}
	b.Reset()
	advice := FromAdvice([]oom.Advice{{Workload: oom.Workload{Container: "c"}, Limit: oom.Of(1 << 20), Advised: oom.Of(2 << 20), AtLeast: true, Hours: 1.26, Text: "Raise it."}})
	if err := AdviceTable(&b, advice.Advice); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"WORKLOAD", ">= 2.0 MiB", "1.3 h", "\n    Raise it.\n"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("lacks %q:\n%s", part, b.String())
		}
	}
}

// TestExplainTellsTheCause adds what the exporter knows to a report of the log.
func TestExplainTellsTheCause(t *testing.T) {
	opts := testOptions()
	opts.Why = func(*oom.Kill) *Verdict { return &Verdict{Cause: "leak", Sentence: "It grew.", Advice: "Mend it."} }
	text := explain(t, "testdata/centos7-memcg.log", opts)
	if !strings.Contains(text, "leak: It grew.") || !strings.Contains(text, "Mend it.") {
		t.Errorf("lacks the cause:\n%s", text)
	}
	opts.Format = "json"
	if text = explain(t, "testdata/centos7-memcg.log", opts); !strings.Contains(text, `"cause": "leak"`) {
		t.Errorf("lacks the cause:\n%s", text)
	}
}

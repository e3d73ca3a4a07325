// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	forecastPage = "../docs/evidence/forecasts.md"
	forecastSpan = 48 * time.Hour
	// shapeLimit is every shape's limit in MiB.
	shapeLimit = 1024.0
)

// growth is a shape: how many MiB a container holds that reclaim can't free,
// the given number of hours after its start.
type growth struct {
	name string
	mib  func(h float64) float64
	// from is when somebody would first care: what fires before is not counted.
	from float64
	// want is the alert that must fire at least lead hours before the limit is
	// reached; "" for a shape for which none may fire.
	want string
	lead float64
	// unknowable is why a false alarm can't be avoided.
	unknowable string
}

const (
	willReach = "OOMContainerWillReachLimit"
	growing   = "OOMContainerGrowing"
	nearLimit = "OOMContainerNearLimit"
)

// The building blocks of shapes.
func line(start, perHour float64) func(float64) float64 {
	return func(h float64) float64 { return start + perHour*h }
}

// since delays a shape: before it is flat.
func since(begin float64, f func(float64) float64) func(float64) float64 {
	return func(h float64) float64 { return f(max(0, h-begin)) }
}

// until stops a shape, which is flat then.
func until(end float64, f func(float64) float64) func(float64) float64 {
	return func(h float64) float64 { return f(min(h, end)) }
}

// teeth adds saw teeth of a period and a height.
func teeth(hours, height float64, f func(float64) float64) func(float64) float64 {
	return func(h float64) float64 { return f(h) + height*math.Mod(h, hours)/hours }
}

func steps(hours, height, start float64) func(float64) float64 {
	return func(h float64) float64 { return start + height*math.Floor(h/hours+1e-9) }
}

// fill nears a height, most of it within tau hours.
func fill(start, height, tau float64) func(float64) float64 {
	return func(h float64) float64 { return start + height*(1-math.Exp(-h/tau)) }
}

// day adds a daily wave.
func day(height float64, f func(float64) float64) func(float64) float64 {
	return func(h float64) float64 { return f(h) + height*(1-math.Cos(2*math.Pi*h/24))/2 }
}

// noise adds what looks random and is the same each time.
func noise(height float64, f func(float64) float64) func(float64) float64 {
	return func(h float64) float64 {
		m := math.Round(h * 60)
		return f(h) + height*(math.Sin(m*m*0.37)+math.Sin(m*1.7))/2
	}
}

// again begins a shape anew every so many hours.
func again(hours float64, f func(float64) float64) func(float64) float64 {
	return func(h float64) float64 { return f(math.Mod(h, hours)) }
}

func shapes() []growth {
	leak := func(name, alert string, lead float64, f func(float64) float64) growth {
		return growth{name: name, mib: f, want: alert, lead: lead}
	}
	never := func(name string, f func(float64) float64) growth { return growth{name: name, mib: f} }
	later := func(from float64, name string, f func(float64) float64) growth {
		return growth{name: name, mib: f, from: from}
	}
	return []growth{
		leak("240 MiB/h under 12-minute teeth of 60 MiB", willReach, 1, teeth(0.2, 60, line(100, 240))),
		leak("10 MiB every 7 minutes", willReach, 2, steps(7.0/60, 10, 100)),
		leak("10 MiB every 7 minutes, told before", growing, 3, steps(7.0/60, 10, 100)),
		leak("20 hours to the limit", growing, 10, line(100, 46.2)),
		leak("20 hours to the limit, near its end", willReach, 4, line(100, 46.2)),
		leak("240 MiB/h after a day at 300 MiB", willReach, 0.5, since(24, line(300, 240))),
		leak("100 MiB/h after a day at 300 MiB", willReach, 1.5, since(24, line(300, 100))),
		leak("600 MiB/h after a day at 300 MiB: too fast for a forecast", nearLimit, 0.05, since(24, line(300, 600))),
		leak("60 MiB/h under half-hour teeth of 120 MiB", growing, 3, teeth(0.5, 120, line(100, 60))),
		leak("40 MiB/h under noise of 20 MiB", growing, 8, noise(20, line(100, 40))),
		leak("30 MiB/h under a daily wave of 100 MiB", growing, 1, day(100, line(100, 30))),
		leak("150 MiB/h after six hours of service", willReach, 1, since(6, line(200, 150))),
		leak("30 MiB/h from 500 MiB", growing, 8, line(500, 30)),
		leak("100 MiB every 90 minutes", growing, 2, steps(1.5, 100, 100)),
		leak("a leak that accelerates", willReach, 0.75, func(h float64) float64 { return 100 + 12*h*h }),
		leak("25 MiB/h from 100 MiB, a day and a half", growing, 12, line(100, 25)),
		leak("80 MiB/h after a start-up to 300 MiB", willReach, 1.5, func(h float64) float64 { return min(300, 3000*h) + 80*h }),
		leak("70 MiB/h by day, 20 by night", growing, 2, func(h float64) float64 { return 100 + 45*h + 25*math.Sin(2*math.Pi*h/24)*24/(2*math.Pi) }),

		never("flat at 300 MiB", line(300, 0)),
		never("page cache at the limit, 200 MiB that can't be freed", noise(5, line(200, 0))),
		never("12-minute teeth from 300 to 880 MiB", teeth(0.2, 580, line(300, 0))),
		never("25-minute teeth from 300 to 880 MiB", teeth(25.0/60, 580, line(300, 0))),
		never("two-hour teeth from 300 to 800 MiB", teeth(2, 500, line(300, 0))),
		never("five-hour teeth from 300 to 800 MiB", teeth(5, 500, line(300, 0))),
		later(24, "twelve-hour teeth from 300 to 800 MiB, after the first day", teeth(12, 500, line(300, 0))),
		later(24, "a daily wave from 300 to 700 MiB, after the first day", day(400, line(300, 0))),
		never("start-up to 80 % within a minute", func(h float64) float64 { return min(820, 100+43200*h) }),
		never("start-up to 700 MiB within half an hour", until(0.5, line(100, 1200))),
		never("a JVM warms up from 300 to 700 MiB in 40 minutes", until(2.0/3, line(300, 600))),
		never("a JVM warms up from 300 to 700 MiB in 3 hours", until(3, line(300, 400.0/3))),
		never("a cache fills to 80 % within hours", fill(100, 720, 1)),
		never("a cache fills to 85 % within hours", fill(100, 770, 2)),
		never("a cache fills to 70 % within a day", fill(100, 600, 4)),
		never("a cache fills steadily to 60 % in 2 hours", until(2, line(100, 257))),
		never("a cache fills steadily to 60 % in 5 hours", until(5, line(100, 103))),
		never("a warm-up every 20 minutes: a crash loop", again(1.0/3, until(1.0/30, line(100, 25000)))),
		never("redeployed every 5 hours, 40 MiB/h in between", again(5, line(300, 40))),
		never("a batch of two hours to 600 MiB, every 8 hours", again(8, func(h float64) float64 { return 100 + max(0, min(h, 2)*250*boolean(h < 2)) })),
		never("noise of 100 MiB", noise(100, line(500, 0))),
		never("one step of 300 MiB", since(20, func(h float64) float64 { return 300 + 300*boolean(h > 0) })),
		never("two steps of 150 MiB, three hours apart", func(h float64) float64 { return 300 + 150*boolean(h > 20) + 150*boolean(h > 23) }),
		never("a spike to 900 MiB each hour", func(h float64) float64 { return 300 + 600*boolean(math.Mod(h, 1) < 0.08) }),
		never("2 MiB/h: a fortnight to the limit", line(300, 2)),
		never("shrinking", line(900, -10)),

		{name: "a cache fills steadily to 75 % in 4 hours", mib: until(4, line(100, 167)), unknowable: "until it stops it is a leak of two hours to the limit"},
		{name: "a cache fills steadily to 60 % in 12 hours", mib: until(12, line(100, 43)), unknowable: "until it stops it is a leak of a day to the limit"},
		{name: "twelve-hour teeth from 300 to 800 MiB, the first tooth", mib: until(12, line(300, 41.6)), unknowable: "that it comes down again is seen when it does"},
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// end is when a shape is at its limit, or the end of the span.
func (g growth) end() float64 {
	for m := 0.0; m < forecastSpan.Minutes(); m++ {
		if g.mib(m/60) >= shapeLimit {
			return m / 60
		}
	}
	return forecastSpan.Hours()
}

// series is the shape as promtool takes it: a value every two minutes, and none from
// when it is killed.
func (g growth) series() string {
	var b strings.Builder
	end := g.end() * 60
	for m := 0.0; m < end; m += 2 {
		fmt.Fprintf(&b, "%.1f ", g.mib(m/60)*(1<<20))
	}
	return b.String() + "stale"
}

// firings asks promtool when each alert first fired for each shape: the query
// about it is given an expectation that can't hold, so that promtool prints what
// it got.
func firings(t *testing.T, all []growth) map[string]map[int]float64 {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on PATH (Debian: prometheus)")
	}
	rules, err := filepath.Abs("rules")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%[1]s/margins.yaml, %[1]s/forecast.yaml]\nevaluation_interval: 4m\ngroup_eval_order: [oom-margins, oom-forecast]\ntests:\n  - interval: 2m\n    input_series:\n", rules)
	for i, g := range all {
		labels := fmt.Sprintf(`{instance="n1",namespace="a",pod="p",container="%d"}`, i)
		fmt.Fprintf(&b, "      - {series: 'oom_container_memory_unreclaimable_bytes%s', values: '%s'}\n", labels, g.series())
		fmt.Fprintf(&b, "      - {series: 'oom_container_memory_limit_bytes%s', values: '%.0fx%.0f stale'}\n", labels, shapeLimit*(1<<20), g.end()*30)
	}
	b.WriteString("    promql_expr_test:\n")
	for i, g := range all {
		minutes := int(g.end() * 60)
		fmt.Fprintf(&b, "      - {expr: 'min by (alertname, container) (min_over_time(timestamp(ALERTS{alertstate=\"firing\",container=\"%d\"})[%dm:4m])) / 3600', eval_time: %dm}\n",
			i, minutes-int(g.from*60), minutes)
	}
	file := filepath.Join(t.TempDir(), "shapes.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(path, "test", "rules", file).CombinedOutput()
	at := map[string]map[int]float64{willReach: {}, growing: {}, nearLimit: {}}
	for _, m := range regexp.MustCompile(`\{alertname="(\w+)", container="(\d+)"\} (\S+?)(?:,|\n)`).FindAllStringSubmatch(string(out), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil || at[m[1]] == nil {
			t.Fatalf("promtool printed %q", m[0])
		}
		if at[m[1]][n], err = strconv.ParseFloat(m[3], 64); err != nil {
			t.Fatal(err)
		}
	}
	if len(at[growing]) == 0 {
		t.Fatalf("promtool: %s", out[:min(len(out), 3000)])
	}
	return at
}

// TestForecasts tries the forecasts on shapes of growth, and holds the page of
// their hit and false-alarm rates against what came out.
func TestForecasts(t *testing.T) {
	all := shapes()
	at := firings(t, all)
	var rows strings.Builder
	hits, leaks, alarms, calm := 0, 0, 0, 0
	for i, g := range all {
		end, first := g.end(), "nothing"
		cell := func(alert string) string {
			fired, ok := at[alert][i]
			switch {
			case !ok:
				return "-"
			case g.want == "":
				return fmt.Sprintf("at %.1f h", fired)
			}
			return fmt.Sprintf("%.1f h before", end-fired)
		}
		forecast := cell(willReach) != "-" || cell(growing) != "-"
		switch fired, ok := at[g.want][i]; {
		case g.want != "":
			leaks++
			if ok && end-fired >= g.lead {
				hits++
			} else {
				t.Errorf("%s: %s %s, want %.2f h before at least", g.name, g.want, cell(g.want), g.lead)
			}
			first = fmt.Sprintf("%s, %.2g h before", strings.TrimPrefix(g.want, "OOMContainer"), g.lead)
		default:
			calm++
			if forecast {
				alarms++
			}
			if forecast != (g.unknowable != "") {
				t.Errorf("%s: WillReachLimit %s, Growing %s", g.name, cell(willReach), cell(growing))
			}
			if g.unknowable != "" {
				first = "nothing, but " + g.unknowable
			}
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s |\n", g.name, first, cell(growing), cell(willReach), cell(nearLimit))
	}
	golden(t, forecastPage, fmt.Sprintf(`# Forecasts: when they fire, and when they do not

%d shapes of growth against a limit of 1 GiB, %.0f hours each, given to the shipped rules by promtool: hits %d of %d leaks, false alarms %d of %d others.
The false alarms are shapes that no rule can tell from a leak while they grow.

Written by `+"`go test ./dashboards -run TestForecasts -update`"+`; the test fails where the rules do something else.

| shape | what should come | OOMContainerGrowing | OOMContainerWillReachLimit | OOMContainerNearLimit |
|---|---|---|---|---|
%s`, len(all), forecastSpan.Hours(), hits, leaks, alarms, calm, rows.String()))
}

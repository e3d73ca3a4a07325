// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

func TestSetTakesTheDefaultAndTheGiven(t *testing.T) {
	var n int
	var d time.Duration
	app := kingpin.New("x", "")
	Set(app.Flag("n", ""), "3", Int(&n, 1, 9))
	Set(app.Flag("d", ""), "1s", Duration(&d, 0))
	if _, err := app.Parse([]string{"--d=250ms"}); err != nil {
		t.Fatal(err)
	}
	if n != 3 || d != 250*time.Millisecond {
		t.Errorf("n = %d, d = %v; want 3 and 250ms", n, d)
	}
	_, err := app.Parse([]string{"--n=10"})
	if err == nil || !strings.Contains(err.Error(), "--n=10: must be a whole number from 1 to 9") {
		t.Errorf("the error is %v", err)
	}
}

func TestParsers(t *testing.T) {
	var (
		text  string
		ratio float64
		n     int
		d     time.Duration
		re    *regexp.Regexp
	)
	for _, c := range []struct {
		parse     func(string) error
		good, bad []string
	}{
		{Text(&text, "a file"), []string{"x"}, []string{""}},
		{Path(&text), []string{"/metrics"}, []string{"", "metrics"}},
		{OneOf(&text, "a", "b"), []string{"a", "b"}, []string{"", "c", "A"}},
		{Int(&n, -1, 5), []string{"-1", "5"}, []string{"-2", "6", "x", "1.0", ""}},
		{Ratio(&ratio), []string{"0", "1", "0.02"}, []string{"-0.1", "1.01", "NaN", "Inf", ""}},
		{Duration(&d, time.Second), []string{"1s", "2h"}, []string{"999ms", "1", ""}},
		{Regexp(&re), []string{"", "a|b", "a\nb"}, []string{"("}},
	} {
		for _, s := range c.good {
			if err := c.parse(s); err != nil {
				t.Errorf("%q: %v", s, err)
			}
		}
		for _, s := range c.bad {
			if err := c.parse(s); err == nil {
				t.Errorf("%q was taken", s)
			}
		}
	}
}

func TestRegexpIsAnchored(t *testing.T) {
	var re *regexp.Regexp
	if err := Regexp(&re)("a|b"); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{"a": true, "b": true, "ab": false, "xa": false, "bx": false} {
		if re.MatchString(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

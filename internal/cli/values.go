// SPDX-License-Identifier: Apache-2.0

// Package cli holds what the command lines of our programs have in common.
package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// value is a flag's value that says, when it is wrong, which flag it was,
// what was given and what is allowed; kingpin's own say less.
type value struct {
	flag, text string
	parse      func(string) error
}

// Set implements kingpin.Value.
func (v *value) Set(s string) error {
	if err := v.parse(s); err != nil {
		return fmt.Errorf("--%s=%s: %w", v.flag, s, err)
	}
	v.text = s
	return nil
}

// String implements kingpin.Value.
func (v *value) String() string { return v.text }

// Set gives a flag a parser and a default.
func Set(f *kingpin.FlagClause, def string, parse func(string) error) {
	f.Default(def).SetValue(&value{flag: f.Model().Name, text: def, parse: parse})
}

// Text reads a text that is not empty; what is what the text names, for the error.
func Text(to *string, what string) func(string) error {
	return func(s string) error {
		if s == "" {
			return fmt.Errorf("must name %s", what)
		}
		*to = s
		return nil
	}
}

// Path reads the path of a page.
func Path(to *string) func(string) error {
	return func(s string) error {
		if !strings.HasPrefix(s, "/") {
			return fmt.Errorf("must begin with a slash, like /metrics")
		}
		*to = s
		return nil
	}
}

// OneOf reads one of the allowed words.
func OneOf(to *string, allowed ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(allowed, s) {
			return fmt.Errorf("must be one of %s", strings.Join(allowed, ", "))
		}
		*to = s
		return nil
	}
}

// Int reads a whole number from low to high.
func Int(to *int, low, high int) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return fmt.Errorf("must be a whole number from %d to %d", low, high)
		}
		*to = n
		return nil
	}
}

// Ratio reads a number from 0 to 1.
func Ratio(to *float64) func(string) error {
	return func(s string) error {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return fmt.Errorf("must be a number from 0 to 1, like 0.10")
		}
		*to = f
		return nil
	}
}

// Duration reads a duration of at least low.
func Duration(to *time.Duration, low time.Duration) func(string) error {
	return func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < low {
			return fmt.Errorf("must be a duration of at least %v, like 500ms, 30s or 24h", low)
		}
		*to = d
		return nil
	}
}

// Regexp reads a pattern, anchored as Prometheus does; empty is nil.
func Regexp(to **regexp.Regexp) func(string) error {
	return func(s string) error {
		if s == "" {
			*to = nil
			return nil
		}
		re, err := regexp.Compile("^(?s:" + s + ")$")
		if err != nil {
			return fmt.Errorf("must be a regular expression (RE2): %w", err)
		}
		*to = re
		return nil
	}
}

// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"strconv"
	"strings"
	"time"
)

func (o LogOptions) zone() *time.Location {
	if o.Location == nil {
		return time.UTC
	}
	return o.Location
}

// dated eats `DATE host kernel: ` and a bracket after it, as syslog daemons
// and journalctl print it, or the bare date of dmesg --time-format=iso. It
// tells whether the line had such a date. Only an exact `host kernel:` makes
// the line the kernel's: what programs log is theirs.
func (p *prefix) dated(opts LogOptions) bool {
	t, rest, bare, ok := cutDate(p.rest, opts)
	if !ok {
		return false
	}
	if bare {
		p.rec.Time, p.rest, p.form, p.any = t, rest, formDmesg, true
		return true
	}
	host, rest, ok := strings.Cut(rest, " ")
	if !ok || !isHost(host) {
		return false
	}
	tag, text, ok := strings.Cut(rest, ": ")
	if !ok {
		tag, text = strings.TrimSuffix(rest, ":"), ""
	}
	if tag != "kernel" {
		p.form = formOther
		return true
	}
	p.rec.Time, p.rest, p.form, p.any = t, text, formSyslog, true
	wall := p.rec.Time
	p.bracket(opts)
	p.rec.Time = wall
	return true
}

// cutDate cuts the date off s. bare says that nothing but the text follows.
func cutDate(s string, opts LogOptions) (t time.Time, rest string, bare, ok bool) {
	// 2026-11-21T10:00:00+0000, with and without fraction and colon; dmesg
	// has a comma before the fraction.
	if word, rest, ok := strings.Cut(s, " "); ok && len(word) >= 20 && word[4] == '-' && word[10] == 'T' {
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
			if t, err := time.Parse(layout, word); err == nil {
				return t, rest, strings.Contains(word, ","), true
			}
		}
		return time.Time{}, "", false, false
	}
	if t, rest, ok := cutTraditional(s, opts); ok {
		return t, rest, false, true
	}
	// Sat 2026-11-21 10:00:00 UTC: journalctl -o short-full.
	if words := strings.SplitN(s, " ", 5); len(words) == 5 && len(words[0]) == 3 {
		layout := "2006-01-02 15:04:05"
		if t, err := time.ParseInLocation(layout, words[1]+" "+words[2], zoneNamed(words[3], opts)); err == nil {
			return t, words[4], false, true
		}
	}
	// 1763719200.123456: journalctl -o short-unix.
	if word, rest, ok := strings.Cut(s, " "); ok && len(word) > 11 {
		if sec, frac, ok := strings.Cut(word, "."); ok && len(sec) == 10 && len(frac) <= 9 && allDigits(sec) && allDigits(frac) {
			n, _ := strconv.ParseInt(sec, 10, 64)
			nano, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
			return time.Unix(n, nano).In(opts.zone()), rest, false, true
		}
	}
	return time.Time{}, "", false, false
}

// cutTraditional cuts `Nov 21 10:00:00[.123456] ` off s. The year is the last
// one in which the date was not in the future.
func cutTraditional(s string, opts LogOptions) (time.Time, string, bool) {
	const width = len("Jan _2 15:04:05")
	if len(s) <= width || s[3] != ' ' || s[9] != ':' {
		return time.Time{}, "", false
	}
	stamp, rest, ok := strings.Cut(s[width:], " ")
	if !ok || stamp != "" && stamp[0] != '.' {
		return time.Time{}, "", false
	}
	now := opts.Now.In(opts.zone())
	for _, year := range []int{now.Year(), now.Year() - 1} {
		text := strconv.Itoa(year) + " " + s[:width] + stamp
		t, err := time.ParseInLocation("2006 Jan _2 15:04:05", text, opts.zone())
		if err != nil {
			continue // 29 February of another year, or no date at all.
		}
		// A day of slack for time zones.
		if !t.After(now.Add(24 * time.Hour)) {
			return t, rest, true
		}
	}
	return time.Time{}, "", false
}

// zoneNamed returns the zone that journalctl names; another than UTC is taken
// to be the reader's own, for a name alone has no offset.
func zoneNamed(name string, opts LogOptions) *time.Location {
	if name == "UTC" {
		return time.UTC
	}
	return opts.zone()
}

// isHost tells whether s can be a host's name.
func isHost(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

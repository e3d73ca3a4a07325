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

// date is a date at the beginning of a line, and how much of it is known.
type date struct {
	time           time.Time // zero if it could not be read, as in another language.
	noYear, noZone bool      // the text has no year or no zone: that of time is assumed.
	text           string    // as it is written.
}

// maxDate bounds the length of a date, weekday and zone included.
const maxDate = 64

// cutDate cuts a date off s: everything up to a time of day, in any language,
// with the year and the zone that may follow. bare says that dmesg has printed
// it (--time-format=iso), so that nothing but the text follows.
func cutDate(s string, opts LogOptions) (d date, rest string, bare, ok bool) {
	if t, rest, ok := cutUnix(s, opts); ok {
		return date{time: t}, rest, false, true
	}
	start, end := clockIn(s)
	if start < 0 || !isDateText(s[:start]) {
		return date{}, "", false, false
	}
	text, rest := s[:end], s[end:]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return date{}, "", false, false
	}
	rest = strings.TrimLeft(rest, " \t")
	// What may follow the time of day.
	for {
		word, after, found := strings.Cut(rest, " ")
		if !found || !followsClock(word, text) {
			break
		}
		text, rest = text+" "+word, strings.TrimLeft(after, " ")
	}
	d = parseDate(text, opts)
	d.text = text
	return d, rest, isDmesgISO(s, start, end), true
}

// isDmesgISO recognises dmesg's ISO 8601 by the comma before the fraction.
func isDmesgISO(s string, start, end int) bool {
	return start == len("2026-11-24T") && s[4] == '-' && s[start-1] == 'T' && strings.Contains(s[start:end], ",")
}

// followsClock tells whether a word belongs to the date before it.
func followsClock(word, text string) bool {
	switch {
	case len(word) == 4 && allDigits(word) && (word[:2] == "19" || word[:2] == "20"):
		return true // Tue Nov 24 10:00:00 2026, as from ctime(3).
	case word == "AM", word == "PM", word == "Z", word == "UTC", word == "GMT":
		return true
	case len(word) == 5 && (word[0] == '+' || word[0] == '-') && allDigits(word[1:]):
		return true
	case len(word) >= 3 && len(word) <= 5 && strings.Contains(text, "-") && strings.Contains(text, " "):
		return strings.ToUpper(word) == word && isLetters(word) // journalctl -o short-full.
	default:
		return false
	}
}

// cutUnix cuts `1763719200.123456 `, of journalctl -o short-unix, off s.
func cutUnix(s string, opts LogOptions) (time.Time, string, bool) {
	if !isDigit(s, 0) {
		return time.Time{}, "", false
	}
	word, rest, ok := strings.Cut(s, " ")
	if !ok || len(word) <= 11 {
		return time.Time{}, "", false
	}
	sec, frac, ok := strings.Cut(word, ".")
	if !ok || len(sec) != 10 || len(frac) > 9 || !allDigits(sec) || !allDigits(frac) {
		return time.Time{}, "", false
	}
	n, _ := strconv.ParseInt(sec, 10, 64)
	nano, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	return time.Unix(n, nano).In(opts.zone()), rest, true
}

// clockIn finds the first time of day, such as 10:00:00, with a fraction and a zone
// that directly follow it.
func clockIn(s string) (start, end int) {
	for i := range min(len(s), maxDate) {
		if s[i] != ':' || i < 1 || !isDigit(s, i-1) || !isDigit(s, i+1) || !isDigit(s, i+2) {
			continue
		}
		start = i - 1
		if start > 0 && isDigit(s, start-1) {
			start--
		}
		end = i + 3
		if end >= len(s) || s[end] != ':' || !isDigit(s, end+1) || !isDigit(s, end+2) || start > 0 && isDigit(s, start-1) {
			continue
		}
		for end += 3; end < len(s) && (isDigit(s, end) || strings.IndexByte(".,:+-Z", s[end]) >= 0); end++ {
			if s[end] == ':' && !isDigit(s, end+1) || s[end] == '-' && !isDigit(s, end+1) {
				break
			}
		}
		return start, end
	}
	return -1, -1
}

// isDateText tells whether what stands before a time of day can be a date: a
// few words in any language.
func isDateText(s string) bool {
	if strings.Count(s, " ") > 7 || strings.HasPrefix(s, " ") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 0x80, isDigit(s, i), c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case strings.IndexByte(" .,/-_'", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// dateWords are the parts of a date as far as they could be recognised.
type dateWords struct {
	year, month, day int
	clock            string
	pm, am           bool
	zone             *time.Location
	namedZone        bool // there is a zone, but only by name, which has no offset.
	ambiguous        bool // two numbers can be the day.
}

// parseDate reads a date as far as it is English or made of numbers.
func parseDate(text string, opts LogOptions) date {
	var w dateWords
	for word := range strings.FieldsSeq(text) {
		w.read(word)
	}
	clock, err := time.Parse("15:04:05", strings.Replace(w.clock, ",", ".", 1))
	if err != nil || w.month == 0 || w.day == 0 || w.ambiguous {
		return date{}
	}
	hour := clock.Hour()
	if w.pm && hour < 12 {
		hour += 12
	}
	if w.am && hour == 12 {
		hour = 0
	}
	d := date{noYear: w.year == 0, noZone: w.zone == nil && !w.namedZone}
	zone := w.zone
	if zone == nil {
		zone = opts.zone()
	}
	at := func(year int) time.Time {
		return time.Date(year, time.Month(w.month), w.day, hour, clock.Minute(), clock.Second(), clock.Nanosecond(), zone)
	}
	if !d.noYear {
		d.time = at(w.year)
		return d
	}
	// The last year in which the date was not in the future, with a day of
	// slack for time zones; 29 February needs a leap year.
	now := opts.Now.In(zone)
	for year := now.Year(); year > now.Year()-8; year-- {
		if t := at(year); !t.After(now.Add(24*time.Hour)) && t.Day() == w.day {
			d.time = t
			return d
		}
	}
	return date{}
}

const months = "janfebmaraprmayjunjulaugsepoctnovdec"

func (w *dateWords) read(word string) {
	switch {
	case strings.Contains(word, ":"):
		w.readClock(word)
	case word == "PM":
		w.pm = true
	case word == "AM":
		w.am = true
	case word == "UTC", word == "GMT", word == "Z":
		w.zone = time.UTC
	case len(word) == 5 && (word[0] == '+' || word[0] == '-') && allDigits(word[1:]):
		w.readOffset(word)
	case isDigit(word, 0) && strings.Count(word, "-") == 2:
		w.readNumbers(strings.Split(word, "-"))
	case isDigit(word, 0) && strings.Count(word, "/") == 2:
		w.readNumbers(strings.Split(word, "/"))
	case len(word) == 4 && allDigits(word):
		w.year, _ = strconv.Atoi(word)
	case isDigit(word, 0):
		if n, err := strconv.Atoi(strings.TrimRight(word, ".,")); err == nil && n >= 1 && n <= 31 {
			w.ambiguous = w.day != 0
			w.day = n
		}
	default:
		word = strings.ToLower(strings.TrimRight(word, ".,"))
		if i := strings.Index(months, word); len(word) == 3 && i >= 0 && i%3 == 0 {
			w.month = i/3 + 1
			break
		}
		if w.clock != "" && isLetters(word) {
			w.namedZone = true
		}
	}
}

// readClock reads 10:00:00.123+01:00, and what ISO 8601 puts before it.
func (w *dateWords) readClock(word string) {
	if day, clock, ok := strings.Cut(word, "T"); ok {
		w.readNumbers(strings.Split(day, "-"))
		word = clock
	}
	if clock, ok := strings.CutSuffix(word, "Z"); ok {
		w.zone, word = time.UTC, clock
	}
	if i := strings.LastIndexAny(word, "+-"); i > 0 {
		w.readOffset(word[i:])
		word = word[:i]
	}
	w.clock = word
}

func (w *dateWords) readOffset(s string) {
	for _, layout := range []string{"-0700", "-07:00", "-07"} {
		if t, err := time.Parse(layout, s); err == nil {
			_, offset := t.Zone()
			w.zone = time.FixedZone("", offset)
			if offset == 0 {
				w.zone = time.UTC
			}
			return
		}
	}
}

// readNumbers reads 2026-11-24; in a date like 11/24/2026, day and month can be told
// apart only where the day is above 12.
func (w *dateWords) readNumbers(parts []string) {
	if len(parts) != 3 {
		return
	}
	var n [3]int
	for i, part := range parts {
		var err error
		if n[i], err = strconv.Atoi(part); err != nil {
			return
		}
	}
	switch {
	case n[0] > 31 && n[1] <= 12 && n[2] <= 31:
		w.year, w.month, w.day = n[0], n[1], n[2]
	case n[2] > 31 && n[0] > 12 && n[1] <= 12:
		w.year, w.month, w.day = n[2], n[1], n[0]
	case n[2] > 31 && n[1] > 12 && n[0] <= 12:
		w.year, w.month, w.day = n[2], n[0], n[1]
	}
}

func isLetters(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

// isHost tells whether s can be a host's name.
func isHost(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-', c == '.', c == '_', c == ':':
		default:
			return false
		}
	}
	return true
}

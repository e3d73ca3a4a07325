// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"html"
	"strings"
)

// cleanLine takes away what terminals, consoles, browsers and syslog daemons
// have put into a line.
func cleanLine(b []byte) string {
	s := string(b)
	special := false
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == '&' || c == '#' || c == 0xc2 || c == 0xe2 || c == '<' || c == '^' {
			special = true
			break
		}
	}
	if !special {
		return s
	}
	s = strings.Trim(s, "\r")
	if strings.Contains(s, "\x00") {
		s = strings.ReplaceAll(s, "\x00", "") // from a machine that crashed.
	}
	s = stripEscapes(s)
	if strings.Contains(s, "&") && strings.Contains(s, ";") {
		s = html.UnescapeString(s)
	}
	for _, invisible := range []string{"\u200b", "\ufeff"} {
		s = strings.ReplaceAll(s, invisible, "")
	}
	s = strings.ReplaceAll(s, "\u00a0", " ")
	return stripTags(s)
}

// stripEscapes removes terminal control sequences: colours, as from dmesg
// --color=always, and cursor movements, as from serial consoles, even where
// rsyslog or cat -v has made them printable.
func stripEscapes(s string) string {
	for _, spelled := range []string{"#033[", "^[["} {
		if strings.Contains(s, spelled) {
			s = strings.ReplaceAll(s, spelled, "\x1b[")
		}
	}
	if !strings.Contains(s, "\x1b") {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "\x1b")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		n := escapeLength(rest)
		if n == 0 {
			b.WriteByte('\x1b')
		}
		s = rest[n:]
	}
}

// escapeLength returns the length of the control sequence that follows ESC.
func escapeLength(s string) int {
	switch {
	case strings.HasPrefix(s, "["):
		for i := 1; i < len(s); i++ {
			if s[i] >= '@' && s[i] <= '~' {
				return i + 1
			}
			if s[i] < ' ' || s[i] > '?' {
				return 0
			}
		}
	case strings.HasPrefix(s, "]"):
		if i := strings.IndexByte(s, '\a'); i >= 0 {
			return i + 1
		}
	case strings.HasPrefix(s, "(") && len(s) > 1:
		return 2
	}
	return 0
}

// stripTags removes the HTML tags around a line that was copied out of a web page.
func stripTags(s string) string {
	for {
		end := strings.TrimRight(s, " ")
		i := strings.LastIndexByte(end, '<')
		if i < 0 || !strings.HasSuffix(end, ">") || !isTag(end[i+1:len(end)-1]) {
			break
		}
		s = end[:i]
	}
	for {
		begin := strings.TrimLeft(s, " ")
		i := strings.IndexByte(begin, '>')
		if i < 0 || !strings.HasPrefix(begin, "<") || !isTag(begin[1:i]) {
			return s
		}
		s = begin[i+1:]
	}
}

func isTag(s string) bool {
	name, _, _ := strings.Cut(strings.Trim(s, "/ "), " ")
	switch strings.ToLower(name) {
	case "br", "p", "pre", "code", "td", "tr", "th", "li", "ul", "div", "span", "samp", "tt", "blockquote":
		return true
	default:
		return false
	}
}

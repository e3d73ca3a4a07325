// SPDX-License-Identifier: Apache-2.0

package workload

import "strings"

// foldUnit replaces what differs from run to run of the same unit, so that a
// machine that starts many of them does not make a label for each:
//
//	session-12.scope, session-c3.scope         session.scope
//	run-u12.service, run-r0f...e.scope          run-*.service, run-*.scope
//	run-p812-i813.scope                         run-*.scope
//	sshd@3-10.0.0.1:22-10.0.0.9:4242.service    sshd@*.service
//	app-firefox-4711.scope                      app-firefox-*.scope
//	vte-spawn-<uuid>.scope, app-x@<hex>.service vte-spawn-*.scope, app-x@*.service
//	dbus-:1.22-org.x@0.service                  dbus-*-org.x@0.service
//
// Numbers at the end fold only in scopes, which programs make: a service
// redis-6379.service was named by a person. An instance's number does not fold
// either, as in user@1000.service.
func foldUnit(unit string) string {
	dot := strings.LastIndexByte(unit, '.')
	if dot <= 0 {
		return unit
	}
	base, suffix := unit[:dot], unit[dot:]
	if isSession(unit) {
		return "session.scope"
	}
	if run, ok := strings.CutPrefix(base, "run-"); ok && isRunID(run) {
		return "run-*" + suffix
	}
	if name, instance, ok := strings.Cut(base, "@"); ok && isConnection(instance) {
		return name + "@*" + suffix
	}
	folded := foldTokens(base)
	if suffix == ".scope" {
		if i := strings.LastIndexAny(folded, "-_@"); i > 0 && isNumber(folded[i+1:]) {
			folded = folded[:i+1] + "*"
		}
	}
	if folded == base {
		return unit
	}
	return folded + suffix
}

// isSession tells whether logind made the unit for a session.
func isSession(unit string) bool {
	number, ok := cutAround(unit, "session-", ".scope")
	return ok && isNumber(strings.TrimPrefix(number, "c"))
}

// isRunID tells whether systemd-run made up the name: u12, r<hex>, p12-i34
// (since 257), a pid, or hex digits.
func isRunID(s string) bool {
	if isNumber(s) || len(s) >= 8 && isHex(s) {
		return true
	}
	if pid, id, ok := strings.Cut(s, "-"); ok {
		return strings.HasPrefix(pid, "p") && isNumber(pid[1:]) && strings.HasPrefix(id, "i") && isNumber(id[1:])
	}
	switch {
	case s == "":
		return false
	case s[0] == 'u':
		return isNumber(s[1:])
	case s[0] == 'r':
		return len(s) > 8 && isHex(s[1:])
	default:
		return false
	}
}

// isConnection tells whether an instance's name is one of a socket unit with
// Accept=yes: COUNT-PID-UID, or COUNT-ADDRESS:PORT-ADDRESS:PORT, each with
// more numbers in newer releases.
func isConnection(instance string) bool {
	count, rest, ok := strings.Cut(instance, "-")
	dash := strings.LastIndexByte(rest, '-')
	if !ok || !isNumber(count) || dash < 0 {
		return false
	}
	if strings.Contains(rest[:dash], ":") && strings.Contains(rest[dash:], ":") {
		return true
	}
	return strings.Trim(rest[:dash], "0123456789_-") == "" && isNumber(rest[dash+1:])
}

// foldTokens writes * for each UUID, each of D-Bus' unique names, and each run of
// eight or more hex digits with a decimal one among them, or of 32 or more.
func foldTokens(s string) string {
	var b strings.Builder
	done := 0
	for i := 0; i < len(s); i++ {
		if i > 0 && isWord(s[i-1]) {
			continue
		}
		n := randomToken(s[i:])
		if n == 0 {
			continue
		}
		b.WriteString(s[done:i])
		b.WriteByte('*')
		done = i + n
		i = done - 1
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// randomToken returns the length of the generated token at the start of s, 0 if
// there is none.
func randomToken(s string) int {
	n := 0
	switch {
	case isUUID(s):
		n = 36
	case strings.HasPrefix(s, ":1."):
		for n = len(":1."); n < len(s) && isNumber(s[n:n+1]); n++ {
		}
	default:
		digit := false
		for n < len(s) && isHexDigit(s[n]) {
			digit = digit || s[n] <= '9'
			n++
		}
		if n < 8 || !digit && n < 32 {
			return 0
		}
	}
	if n < len(s) && isWord(s[n]) {
		return 0
	}
	return n
}

func isUUID(s string) bool {
	if len(s) < 36 {
		return false
	}
	for i := range 36 {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHexDigit(s[i]) {
				return false
			}
		}
	}
	return true
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

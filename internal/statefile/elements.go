// SPDX-License-Identifier: Apache-2.0

package statefile

// CountElements counts the elements of all arrays in a JSON text, without
// decoding it: an element of two bytes can take hundreds when it is decoded.
func CountElements(b []byte) (n int) {
	var open []byte // brackets.
	inString, escaped, first := false, false, false
	for _, c := range b {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		case c == ']' || c == '}':
			first = false
			open = open[:max(len(open)-1, 0)]
		default:
			if first || c == ',' && len(open) > 0 && open[len(open)-1] == '[' {
				n++
			}
			first, inString = c == '[', c == '"'
			if c == '[' || c == '{' {
				open = append(open, c)
			}
		}
	}
	return n
}

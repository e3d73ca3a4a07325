// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"encoding/json"
	"testing"
)

func TestCountElements(t *testing.T) {
	for text, want := range map[string]int{
		``:                         0,
		`{}`:                       0,
		`[]`:                       0,
		`[ ]`:                      0,
		`[1]`:                      1,
		`[[],[]]`:                  2,
		`[[1,2],{"a":[3]}]`:        5,
		`{"a":1,"b":[null , 2]}`:   2,
		`{"a":"[,,\"[,","b":[""]}`: 1,
		`["\\",",","\""]`:          3,
		`]]}}[1`:                   1,
	} {
		if got := CountElements([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

// The count is never below what a decoder would make.
func FuzzCountElements(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":["x,",[]]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if json.Unmarshal(b, &v) != nil {
			return
		}
		var count func(v any) int
		count = func(v any) (n int) {
			switch v := v.(type) {
			case []any:
				n = len(v)
				for _, e := range v {
					n += count(e)
				}
			case map[string]any: // of keys that are there twice the last counts.
				for _, e := range v {
					n += count(e)
				}
			}
			return n
		}
		if got, want := CountElements(b), count(v); got < want {
			t.Errorf("%q: %d elements, want at least %d", b, got, want)
		}
	})
}

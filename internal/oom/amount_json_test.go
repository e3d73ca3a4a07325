// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"encoding/json"
	"testing"
)

func TestAmountJSON(t *testing.T) {
	for text, a := range map[string]Amount{
		`null`:                 {},
		`"unlimited"`:          Unlimited(),
		`0`:                    Of(0),
		`18446744073709551613`: Of(MaxAmount),
	} {
		b, err := json.Marshal(a)
		if err != nil || string(b) != text {
			t.Errorf("%v became %s, %v; want %s", a, b, err, text)
		}
		got := Of(7)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != a {
			t.Errorf("%s became %v, %v; want %v", text, got, err, a)
		}
	}
	for _, text := range []string{`-1`, `1.5`, `"max"`, `{}`, `18446744073709551616`} {
		var a Amount
		if err := json.Unmarshal([]byte(text), &a); err == nil {
			t.Errorf("%s became %v, want an error", text, a)
		}
	}
}

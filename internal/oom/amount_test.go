// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"math"
	"testing"
	"unsafe"
)

// TestAmountStates: unset, unlimited and a value are never taken for each other,
// 0 and the largest values included.
func TestAmountStates(t *testing.T) {
	for _, c := range []struct {
		a                     Amount
		set, unlimited, value bool
		n                     uint64
		text                  string
	}{
		{Amount{}, false, false, false, 0, "unset"},
		{Unlimited(), true, true, false, 0, "unlimited"},
		{Of(0), true, false, true, 0, "0"},
		{Of(1), true, false, true, 1, "1"},
		{Of(math.MaxInt64), true, false, true, math.MaxInt64, "9223372036854775807"},
		{Of(MaxAmount), true, false, true, MaxAmount, "18446744073709551613"},
		{Of(math.MaxUint64 - 1), true, false, true, MaxAmount, "18446744073709551613"},
		{Of(math.MaxUint64), true, false, true, MaxAmount, "18446744073709551613"},
	} {
		n, ok := c.a.Get()
		if c.a.IsSet() != c.set || c.a.IsUnlimited() != c.unlimited || c.a.IsValue() != c.value || ok != c.value || n != c.n || c.a.String() != c.text {
			t.Errorf("%v: set %v, unlimited %v, value %v, Get %d %v; want %+v", c.a, c.a.IsSet(), c.a.IsUnlimited(), c.a.IsValue(), n, ok, c)
		}
		if want := max(c.n, 7); !c.value && c.a.Or(7) != want || c.value && c.a.Or(7) != c.n {
			t.Errorf("%v.Or(7) is %d", c.a, c.a.Or(7))
		}
	}
	if size := unsafe.Sizeof(Amount{}); size != 8 {
		t.Errorf("an Amount has %d bytes, want 8", size)
	}
}

func TestAmountOrder(t *testing.T) {
	ascending := []Amount{Of(0), Of(5), Of(MaxAmount), Unlimited(), {}}
	for i, a := range ascending {
		for k, b := range ascending {
			if got := a.Less(b); got != (i < k) {
				t.Errorf("%v.Less(%v) = %v", a, b, got)
			}
		}
	}
}

func TestAmountPlus(t *testing.T) {
	for _, c := range []struct{ a, b, want Amount }{
		{Of(2), Of(3), Of(5)},
		{Of(0), Of(0), Of(0)},
		{Of(2), Amount{}, Amount{}},
		{Unlimited(), Amount{}, Amount{}},
		{Of(2), Unlimited(), Unlimited()},
		{Of(MaxAmount), Of(1), Of(MaxAmount)},
		{Of(MaxAmount), Of(MaxAmount), Of(MaxAmount)},
	} {
		if got := c.a.Plus(c.b); got != c.want {
			t.Errorf("%v + %v = %v, want %v", c.a, c.b, got, c.want)
		}
		if got := c.b.Plus(c.a); got != c.want {
			t.Errorf("%v + %v = %v, want %v", c.b, c.a, got, c.want)
		}
	}
}

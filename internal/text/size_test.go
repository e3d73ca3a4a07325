// SPDX-License-Identifier: Apache-2.0

package text

import (
	"math"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 20 << 20: "20.0 MiB", 1023 << 20: "1023.0 MiB",
		5 << 30: "5.0 GiB", math.MaxUint64: "16.0 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for ratio, want := range map[float64]string{
		0: "0%", 0.0001: "0%", 0.004: "0.4%", 0.02: "2%", 0.5: "50%", 0.996: "99.6%", 0.99999: "100%", 1: "100%", 50: "999%",
	} {
		if got := Percent(ratio); got != want {
			t.Errorf("%v: %q, want %q", ratio, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 300 * time.Millisecond: "300 ms", 90 * time.Second: "90 s", 3 * time.Minute: "3 min",
		125 * time.Minute: "2 h 5 min", 3 * time.Hour: "3 h", 30 * time.Hour: "30 h", 72 * time.Hour: "3 days",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

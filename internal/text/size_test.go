// SPDX-License-Identifier: Apache-2.0

package text

import (
	"math"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 4096: "4.0 KiB", 5000: "4.9 KiB", 512 << 20: "512.0 MiB", 1 << 30: "1024.0 MiB", 9 << 30: "9216.0 MiB", 12<<30 + 512<<20: "12.5 GiB", 3 << 40: "3.0 TiB",
	} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

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

func TestSigned(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1536 << 20: "1.5 GiB", -1: "-1 B", -1536 << 20: "-1.5 GiB", math.MinInt64: "-8.0 EiB", math.MaxInt64: "8.0 EiB",
	} {
		if got := Signed(n); got != want {
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
		0: "0.0 s", 340 * time.Millisecond: "0.3 s", 9949 * time.Millisecond: "9.9 s", 9960 * time.Millisecond: "10 s", 41 * time.Second: "41 s",
		119 * time.Second: "119 s", 120 * time.Second: "2 min", 119 * time.Minute: "119 min", 200 * time.Minute: "3 h 20 min", 4 * time.Hour: "4 h",
		299 * time.Hour: "12 days", -time.Second: "-1.0 s", math.MinInt64: "-106752 days",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

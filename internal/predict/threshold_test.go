// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"math"
	"strings"
	"testing"
)

func TestParseThreshold(t *testing.T) {
	const capacity = 8 * gib
	for text, want := range map[string]uint64{
		"100Mi":   100 * mib,
		"1Gi":     gib,
		"1.5Gi":   gib + 512*mib,
		".5Ki":    512,
		"500M":    500e6,
		"2k":      2000,
		"7":       7,
		"1.2":     2, // quantities are rounded up.
		"7Ei":     7 << 60,
		"9E":      9e18,
		"0.5Ti":   512 * gib,
		"1P":      1e15,
		"1Pi":     1 << 50,
		"3T":      3e12,
		"1G":      1e9,
		"100%":    capacity,
		"50%":     capacity / 2,
		"12.5%":   capacity / 8,
		"0.0625%": 5368709, // 0.000625 as a float32 is a hair more.
	} {
		got, err := ParseThreshold(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got.Bytes(capacity) != want || got.String() != text {
			t.Errorf("%s is %d bytes (%s), want %d", text, got.Bytes(capacity), got, want)
		}
	}
}

func TestParseThresholdErrors(t *testing.T) {
	for _, text := range []string{
		"", "%", "Mi", "-100Mi", "+1Mi", "0", "0Mi", "0%", "101%", "-5%", "5 %", "1e3", "1e999999%", "0x10", "1/2Mi", "1_000",
		"100MiB", "100mi", "100KI", "1.2.3Mi", ".", ".%", "8Ei", "9.3E", "100Mi ", "NaN%", "Inf", "5%%", "100Mi5",
		"5%Mi", strings.Repeat("9", 33), "0." + strings.Repeat("0", 40) + "1%", "100\u0130i",
	} {
		if got, err := ParseThreshold(text); err == nil {
			t.Errorf("%q is taken for %d bytes", text, got.Bytes(gib))
		} else if !strings.HasPrefix(err.Error(), "parse eviction threshold") || len(err.Error()) > 400 {
			t.Errorf("%q: error reads %q", text, err)
		}
	}
}

func FuzzParseThreshold(f *testing.F) {
	for _, text := range []string{"100Mi", "5%", "1.5Gi", "0.1%", "9999999999999999999999E", "1e9", "-1", ".5k"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseThreshold(text)
		if err != nil {
			if got != (Threshold{}) {
				t.Errorf("an error and %+v", got)
			}
			return
		}
		const capacity = 1 << 50
		bytes := got.Bytes(capacity)
		if strings.HasSuffix(text, "%") && bytes > capacity || bytes > math.MaxInt64 {
			t.Errorf("%q is %d bytes", text, bytes)
		}
		if again, err := ParseThreshold(got.String()); err != nil || again != got {
			t.Errorf("%q reads as %+v, then as %+v (%v)", text, got, again, err)
		}
	})
}

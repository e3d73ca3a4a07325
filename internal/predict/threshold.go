// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Threshold is a kubelet eviction threshold: bytes or a part of the capacity.
type Threshold struct {
	bytes uint64
	part  float32 // of the capacity, where it was given in percent.
	text  string
}

// Bytes returns the threshold on a node of this capacity, rounded as kubelet
// rounds it.
func (t Threshold) Bytes(capacity uint64) uint64 {
	if t.part > 0 {
		return uint64(float64(capacity) * float64(t.part))
	}
	return t.bytes
}

// String returns the text that was parsed.
func (t Threshold) String() string { return t.text }

// maxThresholdText is more characters than any sensible quantity needs.
const maxThresholdText = 32

var errThresholdRange = errors.New("must be above 0 and at most 100% or 8Ei")

// ParseThreshold reads what kubelet's --eviction-hard takes after
// "memory.available<": a Kubernetes quantity such as 100Mi, 1.5Gi or 500M, or
// a percentage such as 5%.
func ParseThreshold(text string) (Threshold, error) {
	t := Threshold{text: text}
	var err error
	if number, ok := strings.CutSuffix(text, "%"); ok {
		t.part, err = parsePercent(number)
	} else {
		t.bytes, err = parseQuantity(text)
	}
	if err != nil {
		return Threshold{}, fmt.Errorf("parse eviction threshold %.40q: %w", text, err)
	}
	return t, nil
}

func parsePercent(number string) (float32, error) {
	if !isDecimal(number) {
		return 0, errors.New("want a decimal number before the %")
	}
	percent, err := strconv.ParseFloat(number, 32)
	if err != nil {
		return 0, errors.Unwrap(err)
	}
	part := float32(percent) / 100
	if part <= 0 || part > 1 {
		return 0, errThresholdRange
	}
	return part, nil
}

// parseQuantity reads a positive Kubernetes quantity of bytes, rounded up.
func parseQuantity(text string) (uint64, error) {
	end := strings.LastIndexAny(text, "0123456789.") + 1
	number, suffix := text[:end], text[end:]
	unit, ok := unitOf(suffix)
	if !ok || !isDecimal(number) {
		return 0, errors.New("want a number with a unit such as Mi or Gi, or a percentage")
	}
	value, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, errors.New("want a decimal number")
	}
	value.Mul(value, new(big.Rat).SetUint64(unit))
	whole, rest := new(big.Int).QuoRem(value.Num(), value.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	if whole.Sign() <= 0 || !whole.IsInt64() {
		return 0, errThresholdRange
	}
	return whole.Uint64(), nil
}

// unitOf returns the factor of a Kubernetes suffix.
func unitOf(suffix string) (uint64, bool) {
	switch suffix {
	case "":
		return 1, true
	case "k":
		return 1e3, true
	case "M":
		return 1e6, true
	case "G":
		return 1e9, true
	case "T":
		return 1e12, true
	case "P":
		return 1e15, true
	case "E":
		return 1e18, true
	}
	if len(suffix) != 2 || suffix[1] != 'i' {
		return 0, false
	}
	power := strings.IndexByte("KMGTPE", suffix[0]) + 1
	return 1 << (10 * power), power > 0
}

// isDecimal tells whether s is digits with at most one point among them.
func isDecimal(s string) bool {
	digits := strings.Replace(s, ".", "", 1)
	if digits == "" || len(s) > maxThresholdText {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

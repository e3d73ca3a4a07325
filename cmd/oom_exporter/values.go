// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/oom-exporter/oom_exporter/internal/predict"
)

func thresholdOf(to *predict.Threshold) func(string) error {
	return func(s string) error {
		t, err := predict.ParseThreshold(s)
		if err != nil {
			return err
		}
		*to = t
		return nil
	}
}

func hugepagesOf(to *predict.HugepageMode) func(string) error {
	return func(s string) error {
		switch s {
		case "auto":
			*to = predict.HugepagesAuto
		case "on":
			*to = predict.HugepagesOn
		case "off":
			*to = predict.HugepagesOff
		default:
			return fmt.Errorf("must be auto, on or off")
		}
		return nil
	}
}

func modeOf(to *predict.EvictionMode) func(string) error {
	return func(s string) error {
		switch s {
		case "stat":
			*to = predict.EvictionStat
		case "free":
			*to = predict.EvictionFree
		default:
			return fmt.Errorf("must be stat or free")
		}
		return nil
	}
}

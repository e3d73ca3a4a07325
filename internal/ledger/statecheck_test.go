// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Numbers whose sum wraps to the right one, and times that have not come, are
// refused, whole or with a wrong sum.
func TestStatesOutOfRange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(st *state, now time.Time)
		want   error
	}{
		{"workloads that wrap", func(st *state, _ time.Time) {
			st.Workloads[0].Kills -= 1 << 32
			st.Counts.Unattributed += 1 << 32
		}, errCount},
		{"levels that wrap", func(st *state, _ time.Time) {
			st.Counts.Levels[0] -= 1 << 32
			st.Counts.Levels[1] += 1 << 32
		}, errCount},
		{"evicted against base", func(st *state, _ time.Time) {
			st.Counts.Evicted += 1 << 62
			st.Counts.Levels[0] += 1 << 62
			st.Counts.Base -= 1 << 62
		}, errCount},
		{"debt", func(st *state, _ time.Time) {
			st.Debt += math.MaxInt64
			st.Counts.Base += math.MaxInt64
		}, errCount},
		{"OOMs of a pod", func(st *state, _ time.Time) { st.Pods[0].OOMs = math.MaxUint64 }, errCount},
		{"a cgroup's counter", func(st *state, _ time.Time) { st.Groups[0].Own = oom.Of(math.MaxUint64) }, errCount},
		{"removed", func(st *state, _ time.Time) { st.Groups[0].Removed = math.MinInt64 }, errCount},
		{"saved tomorrow", func(st *state, now time.Time) { st.Saved = now.Add(25 * time.Hour) }, errFuture},
		{"epoch", func(st *state, now time.Time) { st.Counts.Epoch = now.Add(25 * time.Hour) }, errFuture},
		{"last kill", func(st *state, now time.Time) { st.Counts.LastKill = now.Add(1e6 * time.Hour) }, errFuture},
		{"a workload's last kill", func(st *state, now time.Time) { st.Workloads[0].Last = now.Add(25 * time.Hour) }, errFuture},
		{"a record", func(st *state, now time.Time) { st.Records[0].Time = now.Add(25 * time.Hour) }, errFuture},
		{"a line", func(st *state, now time.Time) { st.Lines[0].At = now.Add(25 * time.Hour) }, errFuture},
		{"a clock set back", func(st *state, now time.Time) { st.Saved = now.Add(time.Hour) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := busy(t, Options{})
			st := k.ledger.snapshot()
			tt.change(st, k.now)
			b, err := st.bytes()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parseState(b, "boot", k.now); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// A file of 64 MiB of the shortest entries is refused before it is decoded.
func TestStateWithTooManyEntries(t *testing.T) {
	body := []byte(`{"boot_id":"boot","groups":[{}` + strings.Repeat(",{}", maxState/3-100) + `]}`)
	b := fmt.Appendf(nil, `{"version":1,"crc32":%d,"state":%s}`, crc32.ChecksumIEEE(body), body)
	var err error
	allocated := testing.Benchmark(func(t *testing.B) {
		for t.Loop() {
			_, err = parseState(b, "boot", time.Now())
		}
	}).AllocedBytesPerOp()
	if !errors.Is(err, errEntries) {
		t.Errorf("error %v", err)
	}
	if allocated > 4*maxState {
		t.Errorf("%d MiB allocated for a file of %d MiB", allocated>>20, len(b)>>20)
	}
}

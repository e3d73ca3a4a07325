// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runDevice runs a device until n records have come, or until the run ends.
func runDevice(t *testing.T, d *Device, n int) ([]Record, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var recs []Record
	err := d.Run(ctx, func(r Record) {
		recs = append(recs, r)
		if len(recs) == n {
			cancel()
		}
	})
	return recs, err
}

func TestDevicePlainFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	text := "6,10,1000000,-;one\n SUBSYSTEM=x\n6,11,2000000,-;two\nnonsense\n6,13,3000000,c; three\n12,14,9000000,-;user"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	d.now = func() time.Time { return now }
	d.uptime = func() (time.Duration, bool) { return 5 * time.Second, true }
	// The file has ended by then, and Run waits for its context.
	recs, err := runDevice(t, d, 4)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v, want canceled", err)
	}
	var got []string
	for _, r := range recs {
		got = append(got, r.Text)
		if !r.Backlog || !r.Approximate || !r.ReadAt.Equal(now) {
			t.Errorf("%q: %+v, want approximate backlog", r.Text, r)
		}
	}
	if s := strings.Join(got, "|"); s != "one|two| three|user" {
		t.Fatalf("records %q", s)
	}
	if recs[2].Lost != 1 || recs[1].Lost != 0 || recs[3].Lost != 0 {
		t.Errorf("lost %d, %d, %d, want 0, 1, 0", recs[1].Lost, recs[2].Lost, recs[3].Lost)
	}
	if want := now.Add(-4 * time.Second); !recs[0].Time.Equal(want) {
		t.Errorf("time %v, want %v", recs[0].Time, want)
	}
	if !recs[3].Time.Equal(now) {
		t.Errorf("a stamp of the future gives %v, want now", recs[3].Time)
	}
}

func TestDeviceWaitsAtTheEnd(t *testing.T) {
	// /dev/null is a device that ends at once.
	for _, path := range []string{os.DevNull, filepath.Join(t.TempDir(), "empty")} {
		if path != os.DevNull {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, err := OpenDevice(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if err := d.Run(ctx, func(r Record) { t.Errorf("record %+v", r) }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want to wait for the context", path, err)
		}
		cancel()
	}
}

func TestOpenDeviceErrors(t *testing.T) {
	if _, err := OpenDevice(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := OpenDevice(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("directory: %v", err)
	}
}

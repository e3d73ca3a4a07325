// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openKernelLog opens the real device, or skips.
func openKernelLog(t *testing.T) *Device {
	t.Helper()
	d, err := OpenDevice("/dev/kmsg")
	if err != nil {
		t.Skipf("the kernel log can't be opened: %v", err)
	}
	return d
}

// forge writes a record to the kernel's log as user space does, or skips.
func forge(t *testing.T, text string) {
	t.Helper()
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("the kernel log can't be written: %v", err)
	}
	defer f.Close()
	// Without the newline the record can't be read before the next one.
	if _, err := f.WriteString(text + "\n"); err != nil {
		t.Skipf("the kernel log can't be written: %v", err)
	}
}

func TestDeviceRealKernel(t *testing.T) {
	d := openKernelLog(t)
	run := time.Now().UnixNano() // pids come again, the log may have the last one's lines.
	before := fmt.Sprintf("kmsg test %d before", run)
	after := fmt.Sprintf("kmsg test %d after", run)
	forge(t, before)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	seen := make(map[string]Record)
	caught := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- d.Run(ctx, func(r Record) {
			if strings.HasPrefix(r.Text, "kmsg test") {
				seen[r.Text] = r
			}
			if r.Text == before {
				close(caught)
			}
			if r.Text == after {
				cancel()
			}
		})
	}()
	select {
	case <-caught:
	case err := <-done:
		t.Fatalf("Run ended before the record came: %v", err)
	}
	// Whether the reader waits by now or not, closing must end it.
	wrote := time.Now()
	forge(t, "<3>"+after)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("Run: %v", err)
	}
	b, a := seen[before], seen[after]
	if !b.Backlog || !b.Approximate || b.FromKernel() {
		t.Errorf("before: %+v, want backlog of user space", b)
	}
	if a.Text == "" || a.Lost != 0 || a.FromKernel() || a.Level() != 3 || a.Seq <= b.Seq {
		t.Errorf("after: %+v, want a record of user space, level 3, in order", a)
	}
	if !a.Backlog && (a.Time.Before(wrote.Add(-time.Second)) || a.Approximate) {
		t.Errorf("after: %v, want about %v", a.Time, wrote)
	}
}

func TestSyslogRealKernel(t *testing.T) {
	s := NewSyslog()
	recs, turned, err := s.Poll(t.Context())
	if err != nil {
		t.Skipf("syslog(2): %v", err)
	}
	if turned || len(recs) == 0 {
		t.Fatalf("first poll: %d records, turned %v", len(recs), turned)
	}
	marker := fmt.Sprintf("syslog test %d", os.Getpid())
	forge(t, marker)
	recs, turned, err = s.Poll(t.Context())
	if err != nil || turned {
		t.Fatalf("second poll: turned %v, %v", turned, err)
	}
	found := 0
	for _, r := range recs {
		if r.Text == marker {
			found++
			if r.Priority != 12 || r.Backlog || !r.Split {
				t.Errorf("marker is %+v", r)
			}
		}
	}
	if found != 1 {
		t.Errorf("the marker came %d times in %d records, want once", found, len(recs))
	}
	again, _, err := s.Poll(t.Context())
	for _, r := range again {
		if r.Text == marker {
			t.Errorf("the marker came again")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// step is what one read of a scripted device gives.
type step struct {
	text string
	err  error
}

// scripted returns a device whose reads follow a script; at its end it fails
// with EIO. After an EAGAIN the device wakes at once, by the pipe behind it.
func scripted(t *testing.T, steps []step) *Device {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return &Device{
		path: "scripted", file: r, device: true, now: time.Now, uptime: uptime,
		read: func(_ int, p []byte) (int, error) {
			if len(steps) == 0 {
				return 0, unix.EIO
			}
			s := steps[0]
			steps = steps[1:]
			if errors.Is(s.err, unix.EAGAIN) {
				if _, err := w.WriteString("wake"); err != nil {
					t.Error(err)
				}
			}
			return copy(p, s.text), s.err
		},
	}
}

// An overrun ring and a record that does not fit cost records, not the reader.
func TestDeviceSurvives(t *testing.T) {
	d := scripted(t, []step{
		{text: "6,1,1,-;one\n"},
		{err: unix.EINTR},
		{err: unix.EPIPE},
		{text: "6,101,2,-;after the overrun\n"},
		{err: unix.EINVAL},
		{text: "6,103,3,-;after the large one\n"},
		{text: "garbage\n"},
		{err: unix.EAGAIN},
		{text: "6,105,4,-;live\n"},
	})
	recs, err := runDevice(t, d, -1)
	if !errors.Is(err, unix.EIO) {
		t.Errorf("Run: %v, want EIO", err)
	}
	var got []string
	for _, r := range recs {
		got = append(got, fmt.Sprintf("%s %d %v", r.Text, r.Lost, r.Backlog))
	}
	want := "one 0 true|after the overrun 99 true|after the large one 1 true|live 1 false"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("records %q, want %q", s, want)
	}
}

// A device that refuses every read is given up instead of spinning for ever.
func TestDeviceGivesUp(t *testing.T) {
	d := scripted(t, nil)
	reads := 0
	d.read = func(int, []byte) (int, error) { reads++; return 0, unix.EINVAL }
	if _, err := runDevice(t, d, -1); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Run: %v, want EINVAL", err)
	}
	if reads < 1000 {
		t.Errorf("given up after %d reads", reads)
	}
}

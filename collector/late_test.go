// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
)

// A scrape in which nothing could be done is an error, not an exposition
// without values; one collector's success is enough.
func TestNothingWorked(t *testing.T) {
	late := errors.New("the deadline came first")
	failing := fullHost()
	failing.err = map[string]error{"node": late, "groups": late, "processes": late}
	if _, _, err := New(failing, Options{}).Gather(Request{}); !errors.Is(err, late) {
		t.Errorf("error %v", err)
	}
	if _, _, err := New(failing, Options{}).Gather(Request{Collect: []string{"process"}}); !errors.Is(err, late) {
		t.Errorf("error of a part: %v", err)
	}
	failing.err = map[string]error{"processes": late}
	mfs, done, err := New(failing, Options{}).Gather(Request{})
	if err != nil {
		t.Fatalf("the collector of pods succeeded: %v", err)
	}
	defer done()
	if len(mfs) == 0 {
		t.Error("no families")
	}
}

// A failure that comes and goes with each scrape is told once a minute, and how
// it stands in the end.
func TestFlappingIsToldOnceAMinute(t *testing.T) {
	var said bytes.Buffer
	now := time.Unix(1e9, 0)
	h := fullHost()
	s := New(h, Options{Kills: h, Logger: log.NewLogfmtLogger(&said), Now: func() time.Time { return now }})
	scrape := func(err error) {
		h.err = map[string]error{"processes": err}
		if _, done, err := s.Gather(Request{Exclude: []string{"node", "container", "pod", "slice", "predict"}}); err == nil {
			done()
		}
		now = now.Add(100 * time.Millisecond)
	}
	scrape(nil)
	late := errors.New("late")
	for range 1200 { // two minutes.
		scrape(late)
		scrape(nil)
	}
	now = now.Add(logGap)
	scrape(nil)
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if len(lines) < 3 || len(lines) > 6 {
		t.Errorf("%d lines in four minutes:\n%s", len(lines), said.String())
	}
	if last := lines[len(lines)-1]; !strings.Contains(lines[0], "collector failed") || !strings.Contains(last, "collector recovered") {
		t.Errorf("first %q, last %q", lines[0], last)
	}
}

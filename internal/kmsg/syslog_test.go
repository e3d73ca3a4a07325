// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// ring is the kernel's log as syslog(2) shows it.
type ring struct {
	lines   []string
	room    int // lines that it holds.
	printed int
	stamps  bool
}

func (r *ring) print(texts ...string) {
	for _, text := range texts {
		line := "<4>" + text
		if r.stamps {
			line = fmt.Sprintf("<4>[%5d.%06d] %s", r.printed/10, r.printed%10*100000, text)
		}
		r.printed++
		r.lines = append(r.lines, line)
	}
	if r.room > 0 && len(r.lines) > r.room {
		r.lines = r.lines[len(r.lines)-r.room:]
	}
}

// read is READ_ALL: the newest whole lines that fit.
func (r *ring) read(buf []byte) (int, error) {
	from, size := len(r.lines), 0
	for from > 0 && size+len(r.lines[from-1])+1 <= len(buf) {
		from--
		size += len(r.lines[from]) + 1
	}
	return copy(buf, strings.Join(append(append([]string(nil), r.lines[from:]...), ""), "\n")), nil
}

func (r *ring) syslog() *Syslog {
	s := NewSyslog()
	s.read = r.read
	s.size = func() (int, error) { return 4096, nil }
	s.up = func() (time.Duration, bool) { return time.Hour, true }
	return s
}

func poll(t *testing.T, s *Syslog) (texts string, turned bool) {
	t.Helper()
	recs, turned, err := s.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range recs {
		list = append(list, r.Text)
	}
	return strings.Join(list, " "), turned
}

func TestSyslogPoll(t *testing.T) {
	for _, stamps := range []bool{true, false} {
		t.Run(fmt.Sprintf("stamps %v", stamps), func(t *testing.T) {
			r := &ring{room: 6, stamps: stamps}
			s := r.syslog()
			step := func(want string, wantTurned bool) {
				t.Helper()
				if got, turned := poll(t, s); got != want || turned != wantTurned {
					t.Errorf("%q, turned %v, want %q, %v", got, turned, want, wantTurned)
				}
			}
			r.print("a", "b", "a", "b")
			step("a b a b", false)
			step("", false)
			r.print("a")
			step("a", false)
			r.print("c", "d", "a")
			step("c d a", false)
			r.print("e", "f", "g", "h", "i")
			step("e f g h i", false)
			r.print("1", "2", "3", "4", "5", "6", "7")
			step("2 3 4 5 6 7", true)
			r.print("8")
			step("8", false)
			r.lines = nil // dmesg -C
			step("", false)
			r.print("9")
			step("9", true)
		})
	}
}

func TestSyslogRecords(t *testing.T) {
	r := &ring{lines: []string{
		"<6>[ 2513.716506] memory: usage 65536kB",
		"<4>[    1.000000][  T123]  <TASK>",
		"<12>[    2.000000] user",
		"<3>Killed process",
	}}
	s := r.syslog()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return now }
	recs, _, err := s.Poll(t.Context())
	if err != nil || len(recs) != 4 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	for i, want := range []Record{
		{Priority: 6, Stamp: 2513716506 * time.Microsecond, HasStamp: true, Text: "memory: usage 65536kB"},
		{Priority: 4, Stamp: time.Second, HasStamp: true, Text: " <TASK>"},
		{Priority: 12, Stamp: 2 * time.Second, HasStamp: true, Text: "user"},
		{Priority: 3, Text: "Killed process"},
	} {
		want.Seq, want.Split, want.Backlog, want.Approximate = uint64(i), true, true, true
		want.ReadAt, want.Time = now, now
		if want.HasStamp {
			want.Time = now.Add(want.Stamp - time.Hour)
		}
		if recs[i] != want {
			t.Errorf("record %d is\n%+v, want\n%+v", i, recs[i], want)
		}
	}
}

func TestSyslogErrors(t *testing.T) {
	s := NewSyslog()
	refused := errors.New("operation not permitted")
	s.size = func() (int, error) { return 0, refused }
	if _, _, err := s.Poll(t.Context()); !errors.Is(err, refused) {
		t.Errorf("Poll: %v", err)
	}
	// A failed poll does not lose the place.
	r := &ring{stamps: true}
	r.print("a")
	s = r.syslog()
	poll(t, s)
	r.print("b")
	s.read = func([]byte) (int, error) { return 0, refused }
	if _, _, err := s.Poll(t.Context()); !errors.Is(err, refused) {
		t.Errorf("Poll: %v", err)
	}
	s.read = r.read
	if got, turned := poll(t, s); got != "b" || turned {
		t.Errorf("%q, turned %v, want b", got, turned)
	}
}

// Whatever is printed between two polls, each line comes once and in order
// while the ring has not turned over.
func TestSyslogLosesNothing(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := &ring{room: 50 + rnd.IntN(400), stamps: true}
		s := r.syslog()
		var want, got []string
		for range 40 {
			n := rnd.IntN(r.room)
			for range n {
				// Few different texts, so that context repeats.
				text := strings.Repeat("x", rnd.IntN(60)) + fmt.Sprint(rnd.IntN(3))
				r.print(text)
				want = append(want, text)
			}
			texts, turned := poll(t, s)
			if turned {
				t.Fatalf("seed %d: turned over after %d of %d lines", seed, n, r.room)
			}
			if texts != "" {
				got = append(got, strings.Split(texts, " ")...)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("seed %d: %d lines, want %d", seed, len(got), len(want))
		}
	}
}

// FuzzSyslogPolls prints whatever between polls of a ring of bytes: as long as the
// ring has not turned over, each line comes once and in order.
func FuzzSyslogPolls(f *testing.F) {
	f.Add([]byte("<3>[    1.000001] a\n<3>[    1.000001] b\n<6>[    1.000002] a\n"), uint16(200), uint8(9))
	f.Add([]byte("x\n\n\nx\n\n<6>[9.9] y"), uint16(40), uint8(2))
	f.Add([]byte("a\na\na\na\na\na\nb\na\na\n"), uint16(3), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, room uint16, step uint8) {
		var ring []byte
		s := NewSyslog()
		s.size = func() (int, error) { return 64, nil }
		s.read = func(buf []byte) (int, error) { return copy(buf, ring), nil }
		s.up = func() (time.Duration, bool) { return time.Hour, true }
		s.now = func() time.Time { return time.Unix(1e9, 0) }
		var want, got []string
		turned := false
		for len(text) > 0 {
			n := min(int(step)+1, len(text))
			for line := range strings.SplitSeq(strings.TrimSuffix(string(text[:n]), "\n"), "\n") {
				ring = append(append(ring, line...), '\n')
				want = append(want, parseRing([]byte(line)).Text)
			}
			text = text[n:]
			if over := len(ring) - max(int(room), 1); over > 0 { // the kernel drops whole records.
				cut := strings.IndexByte(string(ring[over:]), '\n')
				ring = ring[over+max(cut, 0)+1:]
			}
			recs, wrapped, err := s.Poll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			turned = turned || wrapped || len(ring) == 0
			for i, r := range recs {
				if strings.ContainsRune(r.Text, '\n') || !r.Split || i > 0 && r.Seq != recs[i-1].Seq+1 {
					t.Fatalf("record %d: %+v", i, r)
				}
				got = append(got, r.Text)
			}
		}
		// Where lines repeat, an end of the last text may be found too late in the
		// new one, or what was lost not be missed; it never adds a line.
		if !turned && len(got) > len(want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

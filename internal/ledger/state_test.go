// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// busy returns a ledger with something in every part of its state.
func busy(t testing.TB, o Options) *kernel {
	t.Helper()
	k := newKernel(3, 2)
	c := k.cluster(2, 3)
	k.kill(c[0], c[0])
	o.BootID = "boot"
	if err := k.start(o); err != nil {
		t.Fatal(err)
	}
	k.deliver(1 << 30)
	k.ledger.SetLog(oom.LogLive)
	k.ledger.tick()
	k.kill(c[1], c[1].parent)
	k.killGroup(c[2], 4)
	k.quiet(time.Second)
	k.ledger.Lost(7)
	gone := k.container(c[5].parent, 9)
	k.kill(gone, gone)
	k.rmdir(gone)
	k.kill(c[4], c[4])
	k.read = len(k.log) // the line of the one in gone is lost.
	k.ledger.tick()
	k.kill(c[3], nil)
	k.deliver(1 << 30)
	return k
}

func content(t testing.TB, k *kernel) []byte {
	t.Helper()
	b, err := k.ledger.snapshot().bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStateComesBackWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	k := busy(t, Options{StateFile: path})
	k.ledger.save()
	want := k.ledger.View()
	records := k.ledger.Records()
	if len(want.Workloads) == 0 || want.Pending == 0 || len(k.ledger.evidence.lines) == 0 || len(records) == 0 {
		t.Fatalf("nothing to save: %+v", want)
	}
	k.start(Options{StateFile: path, BootID: "boot"})
	got := k.ledger.View()
	opts := cmp.Options{cmp.AllowUnexported(oom.Amount{}, View{}), cmp.Transformer("set", func(all []oom.WorkloadKills) map[oom.Workload]oom.WorkloadKills {
		m := map[oom.Workload]oom.WorkloadKills{}
		for _, w := range all {
			m[w.Workload] = w
		}
		return m
	})}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("view (-saved +read):\n%s", diff)
	}
	if diff := cmp.Diff(records, k.ledger.Records(), opts); diff != "" {
		t.Errorf("records (-saved +read):\n%s", diff)
	}
	k.ledger.SetLog(oom.LogLive)
	v := settled(t, k)
	if v.Unattributed != 0 || v.Forged != 0 {
		t.Errorf("%d unattributed, %d forged after the restart", v.Unattributed, v.Forged)
	}
}

func TestTornState(t *testing.T) {
	k := busy(t, Options{})
	whole := content(t, k)
	if _, err := parseState(whole, "boot", k.now); err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) - 1 { // the newline at the end may be missing.
		if _, err := parseState(whole[:n], "boot", k.now); err == nil {
			t.Fatalf("no error after %d of %d bytes", n, len(whole))
		}
	}
	body := bytes.Index(whole, []byte(`"state":{`))
	for i := body + len(`"state":`); i < len(whole)-2; i++ {
		altered := bytes.Clone(whole)
		altered[i] ^= 1
		if _, err := parseState(altered, "boot", k.now); err == nil {
			t.Fatalf("no error with byte %d altered", i)
		}
	}
}

func TestStateOfNoUseIsSetAside(t *testing.T) {
	whole := content(t, busy(t, Options{}))
	unbalanced := busy(t, Options{})
	unbalanced.ledger.counts.Unattributed++
	for _, tt := range []struct {
		name, boot string
		content    []byte
		why        error
	}{
		{"torn", "boot", whole[:len(whole)/2], nil},
		{"empty", "boot", nil, nil},
		{"foreign", "boot", []byte("# TYPE oom_kills_total counter\n"), nil},
		{"newer", "boot", bytes.Replace(whole, []byte(`"version":1`), []byte(`"version":2`), 1), errVersion},
		{"altered", "boot", bytes.Replace(whole, []byte(`"duplicates":1`), []byte(`"duplicates":0`), 1), errSum},
		{"of another boot", "other", whole, errOtherBoot},
		{"out of balance", "boot", content(t, unbalanced), errBalance},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseState(tt.content, tt.boot, time.Now()); err == nil || tt.why != nil && !errors.Is(err, tt.why) {
				t.Errorf("error %v, want %v", err, tt.why)
			}
			path := filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(path, tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			k := newKernel(1, 1)
			c := k.cluster(1, 1)
			l := begin(t, k, Options{StateFile: path, BootID: tt.boot, Logger: log.NewLogfmtLogger(&said)})
			if !strings.Contains(said.String(), "ignoring the state file") {
				t.Errorf("the log says %q", said.String())
			}
			if b, err := os.ReadFile(path + ".old"); err != nil || !bytes.Equal(b, tt.content) {
				t.Errorf("the file was not kept: %v", err)
			}
			k.kill(c[0], c[0])
			if v := settled(t, k); killsOf(v)[c[0].who.Workload] != 1 {
				t.Errorf("kills %v, want to go on with one", killsOf(v))
			}
			l.save()
			if st, err := readState(path, tt.boot, k.now); err != nil || st == nil {
				t.Errorf("the new state is of no use: %v", err)
			}
		})
	}
}

func TestDiskThatCantBeWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "not there", "state")
	var said bytes.Buffer
	k := newKernel(1, 1)
	c := k.cluster(1, 1)
	l := begin(t, k, Options{StateFile: path, BootID: "boot", Logger: log.NewLogfmtLogger(&said)})
	for range 3 {
		k.kill(c[0], c[0])
		k.quiet(5 * time.Second)
		l.save()
	}
	if n := strings.Count(said.String(), "cannot write the state file"); n != 1 {
		t.Errorf("told %d times, want once: %s", n, said.String())
	}
	if n := killsOf(settled(t, k))[c[0].who.Workload]; n != 3 {
		t.Errorf("%d kills, want 3", n)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l.save()
	if st, err := readState(path, "boot", k.now); err != nil || st == nil {
		t.Errorf("no state once there was room: %v", err)
	}
	if !strings.Contains(said.String(), "state file is writable again") {
		t.Errorf("the end was not told: %s", said.String())
	}
	if _, err := os.Stat(path + ".tmp"); err == nil {
		t.Error("the temporary file was left behind")
	}
}

// What stands in the way of the state file or its temporary file is left as it
// is; the ledger begins at once, goes on counting, and ends.
func TestObstaclesInTheWayOfTheState(t *testing.T) {
	for _, suffix := range []string{"", ".tmp"} {
		t.Run("state"+suffix, func(t *testing.T) {
			dir := t.TempDir()
			path, victim := filepath.Join(dir, "state"), filepath.Join(dir, "victim")
			if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(victim, path+suffix); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			k := newKernel(1, 1)
			c := k.cluster(1, 1)
			if err := k.start(Options{StateFile: path, BootID: "boot", Logger: log.NewLogfmtLogger(&said)}); err != nil {
				t.Fatal(err)
			}
			l := k.ledger
			l.SetLog(oom.LogLive)
			l.tick()
			k.kill(c[0], c[0])
			k.deliver(1 << 30)
			k.now = k.now.Add(time.Second)
			l.tick()
			l.save()
			if n := killsOf(l.View())[c[0].who.Workload]; n != 1 {
				t.Errorf("%d kills, want 1", n)
			}
			if !strings.Contains(said.String(), "not a regular file") {
				t.Errorf("the log says %q", said.String())
			}
			if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
				t.Errorf("the file behind the link became %q, %v", b, err)
			}
			if to, err := os.Readlink(path + suffix); err != nil || to != victim {
				t.Errorf("the link became %q, %v", to, err)
			}
		})
	}
}

// A workload that is there twice would lose the kills of one of both.
func TestAStateWithAWorkloadTwice(t *testing.T) {
	st := busy(t, Options{}).ledger.snapshot()
	if !st.valid() {
		t.Fatal("the state is not valid as it is")
	}
	st.Workloads = append(st.Workloads, savedTotal{Workload: st.Workloads[0].Workload})
	if st.valid() {
		t.Error("it is valid")
	}
}

// FuzzState feeds what the checksum guards, and the whole file.
func FuzzState(f *testing.F) {
	whole := content(f, busy(f, Options{}))
	body, err := parseFile(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(body))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := newKernel(1, 2)
		st, err := parseState(b, "boot", k.now)
		if err != nil {
			st, err = parseBody(b, "boot", k.now)
		}
		if err != nil {
			return
		}
		k.cluster(1, 1)
		l, err := New(Options{Counters: k, Now: func() time.Time { return k.now }})
		if err != nil {
			t.Fatal(err)
		}
		l.restore(st)
		l.tick()
		v := l.View()
		if err := v.Balance(); err != nil {
			t.Error(err)
		}
	})
}

// TestFirstUnread has a log without numbers that is read again after a restart.
func TestFirstUnread(t *testing.T) {
	kill := func(pid int, duplicate bool) oom.Kill {
		return oom.Kill{Victim: oom.Victim{PID: pid, Comm: "hog", AnonRSS: oom.Of(1 << 20)}, Duplicate: duplicate}
	}
	mark := func(pid int, duplicate bool) *lineMark {
		k := kill(pid, duplicate)
		return markOf(&k)
	}
	backlog := []oom.Kill{kill(1, false), kill(2, false), kill(3, false), kill(3, true), kill(4, false), kill(5, false)}
	other := mark(3, false)
	other.AnonRSS = oom.Of(2 << 20)
	for _, tt := range []struct {
		name   string
		counts counts
		want   int
	}{
		{"after the last line", counts{HasVmstat: true, Vmstat: 10, linesRead: 8, LastLine: mark(2, false)}, 2},
		{"between a victim's two lines", counts{HasVmstat: true, Vmstat: 10, linesRead: 8, LastLine: mark(3, false)}, 3},
		{"after both", counts{HasVmstat: true, Vmstat: 10, linesRead: 8, LastLine: mark(3, true)}, 4},
		{"nothing new, however vmstat moved", counts{HasVmstat: true, Vmstat: 10, linesRead: 8, LastLine: mark(5, false)}, 6},
		{"without vmstat", counts{LastLine: mark(4, false)}, 5},
		{"the line is gone", counts{HasVmstat: true, Vmstat: 10, linesRead: 8, LastLine: mark(99, false)}, 4},
		{"another process with its pid", counts{HasVmstat: true, Vmstat: 10, linesRead: 8, LastLine: other}, 4},
		{"a state of an earlier version", counts{HasVmstat: true, Vmstat: 10, linesRead: 7}, 3},
		{"more kills than lines", counts{HasVmstat: true, Vmstat: 1 << 40}, 0},
		{"vmstat went back", counts{HasVmstat: true, Vmstat: 1, linesRead: 8}, 6},
		{"neither vmstat nor a mark", counts{Vmstat: 10}, 6},
	} {
		l := &Ledger{counts: tt.counts}
		if got := l.firstUnread(backlog); got != tt.want {
			t.Errorf("%s: from %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestLinesReadAtTheSave has a save between the count of a kill and its line.
func TestLinesReadAtTheSave(t *testing.T) {
	l := &Ledger{o: Options{Now: time.Now}, cgroups: newCgroups(nil), totals: newTotals()}
	l.restore(&state{Counts: counts{Vmstat: 10}, Open: []savedOpen{{N: 2}, {N: 1}}, Lines: []*line{{}}})
	if l.counts.linesRead != 8 {
		t.Errorf("%d kills had their lines, want 8", l.counts.linesRead)
	}
}

// TestMarkIsForgotten has a run that does not go on from the last line of a log without
// numbers: a later one must not take all since then for new.
func TestMarkIsForgotten(t *testing.T) {
	for name, leave := range map[string]func(*Ledger){
		"no log":           func(l *Ledger) { l.SetLog(oom.LogAbsent) },
		"log with numbers": func(l *Ledger) { l.Log(oom.Kill{Seq: 7, Victim: oom.Victim{PID: 2}}) },
	} {
		l, err := New(Options{Counters: newKernel(1, 1)})
		if err != nil {
			t.Fatal(err)
		}
		l.SetLog(oom.LogLive)
		l.Log(oom.Kill{Victim: oom.Victim{PID: 1}})
		if l.counts.LastLine == nil || l.counts.LastLine.PID != 1 {
			t.Fatalf("%s: the last line is %+v", name, l.counts.LastLine)
		}
		if leave(l); l.counts.LastLine != nil {
			t.Errorf("%s: the last line is still %+v", name, l.counts.LastLine)
		}
	}
}

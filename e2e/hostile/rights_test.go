// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package hostile_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// user is who runs the exporter.
type user struct {
	name         string
	credential   *syscall.Credential
	ambient      []uintptr
	capabilities string // CapEff once it serves.
}

func users() []user {
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	return []user{
		// CAP_DAC_READ_SEARCH is 2, CAP_SYSLOG 34.
		{"root", nil, nil, "0000000400000004"},
		{"nobody with CAP_SYSLOG", nobody, []uintptr{unix.CAP_SYSLOG}, "0000000400000000"},
		{"nobody", nobody, nil, "0000000000000000"},
	}
}

// startAs runs the exporter as a user.
func (u *user) startAs(t *testing.T, args ...string) *lab.Exporter {
	t.Helper()
	port := lab.FreePort(t)
	cmd := exec.Command(lab.Binary(t), append(args, "--web.listen-address=127.0.0.1:"+strconv.Itoa(port))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.credential, AmbientCaps: u.ambient}
	return lab.AwaitExporter(t, lab.Start(t, cmd), port)
}

// status is /proc/PID/status of every thread, which must agree.
func status(t *testing.T, e *lab.Exporter) map[string]string {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", e.PID))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	first := map[string]string{}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // it has just ended.
		}
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(line, ":")
			if !strings.HasPrefix(key, "Cap") && key != "NoNewPrivs" {
				continue
			}
			value = strings.TrimSpace(value)
			if old, ok := first[key]; ok && old != value {
				t.Errorf("%s is %s in one thread and %s in another", key, old, value)
			}
			first[key] = value
		}
	}
	return first
}

// TestRightsAreGivenUp runs the exporter as root, as nobody with CAP_SYSLOG and
// as nobody. Without the rights that it gives up it shows the same families as
// with them, and saves its state.
func TestRightsAreGivenUp(t *testing.T) {
	lab.Root(t)
	for _, u := range users() {
		t.Run(u.name, func(t *testing.T) {
			dir := openDir(t)
			if u.credential != nil {
				if err := os.Chown(dir, int(u.credential.Uid), int(u.credential.Gid)); err != nil {
					t.Fatal(err)
				}
			}
			state := filepath.Join(dir, "state")
			kept := u.startAs(t, "--no-rights.drop", "--state.file="+filepath.Join(dir, "kept"))
			e := u.startAs(t, "--state.file="+state)
			lab.Eventually(t, 10*time.Second, "the rights are given up", func() bool {
				return strings.Contains(e.Output(), "gave up the rights")
			})
			got := status(t, e)
			if got["NoNewPrivs"] != "1" || got["CapEff"] != u.capabilities || got["CapPrm"] != u.capabilities ||
				got["CapInh"] != "0000000000000000" || got["CapAmb"] != "0000000000000000" {
				t.Errorf("rights %v, want capabilities %s", got, u.capabilities)
			}
			if before := status(t, kept); before["NoNewPrivs"] != "0" || u.credential == nil && before["CapEff"] == u.capabilities {
				t.Errorf("with --no-rights.drop: %v", before)
			}
			var want, have []string
			defer func() {
				if t.Failed() {
					t.Logf("families with all rights %v\nwithout %v", want, have)
				}
			}()
			lab.Eventually(t, 30*time.Second, "the families are the same", func() bool { // others kill and end meanwhile.
				with, without := kept.Scrape(t), e.Scrape(t)
				want, have = families(with), families(without)
				most := min(len(with.Find("oom_process_badness_bytes")), 20)
				return slices.Equal(want, have) && most > 0 && len(without.Find("oom_process_badness_bytes")) >= most
			})
			e.Stop(t)
			if info, err := os.Stat(state); err != nil || info.Size() == 0 {
				t.Errorf("the state was not saved: %v", err)
			}
		})
	}
}

// families are the names of what is shown.
func families(m lab.Metrics) []string { return slices.Sorted(maps.Keys(m)) }

// setup is a way to run the exporter, and what is lost by it.
type setup struct {
	name       string
	credential *syscall.Credential
	ambient    []uintptr
	fileCap    bool // the program's file has CAP_SYSLOG.
	noNewPrivs bool // as allowPrivilegeEscalation: false does.
}

// TestWhatAnotherUserLoses measures what the exporter shows as another user than
// root, whatever way that user gets CAP_SYSLOG. The state's directory is root's,
// as a hostPath is.
func TestWhatAnotherUserLoses(t *testing.T) {
	lab.Root(t)
	other := &syscall.Credential{Uid: 65534, Gid: 65534}
	var rows []string
	var all []string
	for _, s := range []setup{
		{name: "root with CAP_SYSLOG only (the chart)"},
		{name: "another user, CAP_SYSLOG ambient (systemd)", credential: other, ambient: []uintptr{unix.CAP_SYSLOG}},
		{name: "another user, CAP_SYSLOG of the file", credential: other, fileCap: true},
		{name: "another user, CAP_SYSLOG of the file, no_new_privs", credential: other, fileCap: true, noNewPrivs: true},
		{name: "another user, no capability (`unprivileged: true`)", credential: other},
	} {
		t.Run(s.name, func(t *testing.T) {
			e, state := s.start(t)
			m := e.Scrape(t)
			have := families(m)
			if all == nil {
				all = have
			}
			var lost []string
			for _, name := range all {
				if !slices.Contains(have, name) {
					lost = append(lost, "`"+name+"`")
				}
			}
			log := "open"
			if !m.Has("oom_event_source_up", "source", "kmsg") || m.Value(t, "oom_event_source_up", "source", "kmsg") != 1 {
				log = "**closed**"
			}
			e.Stop(t)
			saved := "saved"
			if _, err := os.Stat(state); err != nil {
				saved = "**not saved**"
			}
			mayReadLog := s.credential == nil || !s.noNewPrivs && (s.fileCap || s.ambient != nil)
			if mayReadLog != (log == "open") || (saved == "saved") != (s.credential == nil) {
				t.Errorf("the log is %s, the state %s", log, saved)
			}
			if len(lost) == 0 {
				lost = []string{"none"}
			}
			rows = append(rows, fmt.Sprintf("| %s | %s | %d | %s | %s |", s.name, log, len(m.Find("oom_process_badness_bytes")), strings.Join(lost, ", "), saved))
		})
	}
	writeTable(t, "TestWhatAnotherUserLoses", "rights.md", "What another user than root loses",
		"The kernel log names victims and owners of limits. The directory of `--state.file` belongs to root, as the chart's hostPath does. "+
			"Kubernetes gives a container's user other than root no ambient capabilities; a file capability is ignored where no_new_privs is set, "+
			"which `allowPrivilegeEscalation: false` does.",
		"| how it runs | kernel log | processes shown | families lost | state |\n|---|---|---|---|---|\n"+strings.Join(rows, "\n")+"\n")
}

// start starts a copy of the program in the way of the setup.
func (s *setup) start(t *testing.T) (e *lab.Exporter, state string) {
	t.Helper()
	dir := openDir(t)
	program := filepath.Join(dir, "oom_exporter")
	b, err := os.ReadFile(lab.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if s.fileCap {
		setFileCapability(t, program)
	}
	state = filepath.Join(dir, "state")
	port := lab.FreePort(t)
	args := []string{program, "--state.file=" + state, "--events.kmsg=require", "--web.listen-address=127.0.0.1:" + strconv.Itoa(port)}
	if s.credential == nil {
		args = append([]string{"--bounding-set=-all,+syslog", "--inh-caps=-all"}, args...)
	}
	if s.noNewPrivs {
		args = append([]string{"--no-new-privs"}, args...)
	}
	if strings.HasPrefix(args[0], "--") {
		args = append([]string{lookPath(t, "setpriv")}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, AmbientCaps: s.ambient}
	return lab.AwaitExporter(t, lab.Start(t, cmd), port), state
}

func lookPath(t *testing.T, program string) string {
	t.Helper()
	lab.Need(t, program)
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// openDir is a temporary directory that others may look into.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// setFileCapability gives a program CAP_SYSLOG, permitted and effective, as
// setcap does (struct vfs_cap_data).
func setFileCapability(t *testing.T, path string) {
	t.Helper()
	data := make([]byte, 20)
	binary.LittleEndian.PutUint32(data, 0x02000000|1) // revision 2, effective.
	binary.LittleEndian.PutUint32(data[12:], 1<<(unix.CAP_SYSLOG-32))
	if err := unix.Setxattr(path, "security.capability", data, 0); err != nil {
		t.Fatal(err)
	}
}

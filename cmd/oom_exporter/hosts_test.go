// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// hosts are the fixture trees: one a kind of machine.
func hosts(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("testdata/hosts/*.txtar")
	if err != nil || len(found) < 4 {
		t.Fatalf("fixture hosts: %v, %v", found, err)
	}
	return found
}

// mkdirs makes the directories of a path so that their numbers grow, as those
// of cgroups do; a file system may give a number that was used before.
func mkdirs(t *testing.T, root, path string, newest *uint64) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	mkdirs(t, root, filepath.Dir(path), newest)
	for i := 0; ; i++ {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if number := info.Sys().(*syscall.Stat_t).Ino; number > *newest {
			*newest = number
			return
		}
		if i == 100_000 {
			t.Fatalf("the file system of %s never gives a number above %d", root, *newest)
		}
		if err := os.Rename(path, filepath.Join(root, fmt.Sprint("used-", *newest, "-", i))); err != nil {
			t.Fatal(err)
		}
	}
}

// unpack writes a fixture host below a new directory.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	var newest uint64
	for _, f := range a.Files {
		path := filepath.Join(root, filepath.FromSlash(f.Name))
		mkdirs(t, root, filepath.Dir(path), &newest)
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// onTree are the flags that put the whole program on a fixture tree.
func onTree(root string, more ...string) []string {
	return append([]string{
		"--path.procfs=" + filepath.Join(root, "proc"), "--path.sysfs=" + filepath.Join(root, "sys"),
		"--path.rootfs=" + root, "--path.kmsg=" + filepath.Join(root, "dev/kmsg"),
	}, more...)
}

// lockedBuffer is written by the program and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// exporter is the program, running.
type exporter struct {
	url  string
	log  *lockedBuffer
	stop func() error
}

// start runs the whole program on a free port and waits until it is ready.
func start(t *testing.T, args ...string) *exporter {
	t.Helper()
	return startUntil(t, func(base string) bool {
		resp, err := http.Get(base + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, args...)
}

// startUntil runs the whole program until it is ready as ready has it.
func startUntil(t *testing.T, ready func(base string) bool, args ...string) *exporter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	e := &exporter{url: "http://" + addr, log: &lockedBuffer{}}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append(args, "--web.listen-address="+addr), streams{strings.NewReader(""), io.Discard, e.log})
	}()
	e.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Errorf("the program ended with %v\n%s", err, e.log)
		}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the program ended at once: %v\n%s", err, e.log)
		default:
		}
		if ready(e.url) {
			return e
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready after 20 s\n%s", e.log)
		}
	}
}

// get fetches a page and wants it to be there.
func (e *exporter) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get(e.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v %s", path, resp.Status, err, body)
	}
	return string(body)
}

// stable drops what differs from run to run: the exporter's own figures.
func stable(metrics string) string {
	var b strings.Builder
	for line := range strings.Lines(metrics) {
		volatile := false
		for _, name := range []string{"oom_exporter_build_info", "oom_exporter_collector_duration_seconds{", "oom_container_start_time_seconds{", "go_", "process_"} {
			volatile = volatile || strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), name)
		}
		if !volatile {
			b.WriteString(line)
		}
	}
	return b.String()
}

// standIn is the label of a container whose name is not found yet: a busy
// machine may need longer than the time that a scrape waits for names.
var standIn = regexp.MustCompile(`container="[0-9a-f]{12}"`)

// named scrapes until all names are found, or those that are wanted.
func named(t *testing.T, e *exporter, want string) string {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := stable(e.get(t, "/metrics"))
		if got == want || !standIn.MatchString(got) || time.Now().After(deadline) {
			return got
		}
	}
}

func TestHostsAgainstGoldenFiles(t *testing.T) {
	for _, archive := range hosts(t) {
		name := strings.TrimSuffix(filepath.Base(archive), ".txtar")
		t.Run(name, func(t *testing.T) {
			// What the flight recorder did depends on how long it ran.
			e := start(t, onTree(unpack(t, archive), "--metrics.enable=.*", "--no-recorder")...)
			path := filepath.Join("testdata", "hosts", name+".prom")
			if *update {
				if err := os.WriteFile(path, []byte(named(t, e, "")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := named(t, e, string(want))
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("%s differs (go test -update writes it anew):\n%s", path, d)
			}
			problems, err := promlint.New(strings.NewReader(got)).Lint()
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		})
	}
}

// wellFormed fails where Prometheus would refuse the exposition.
func wellFormed(t *testing.T, metrics string) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(metrics))
	if err != nil {
		t.Errorf("the exposition can't be parsed: %v", err)
		return
	}
	for name, mf := range families {
		seen := map[string]bool{}
		for _, m := range mf.GetMetric() {
			key := fmt.Sprint(m.GetLabel())
			if seen[key] {
				t.Errorf("%s has two samples with labels %s", name, key)
			}
			seen[key] = true
		}
	}
}

func TestDamagedHostsStillServe(t *testing.T) {
	for _, archive := range hosts(t) {
		for seed := range uint64(8) {
			t.Run(fmt.Sprintf("%s/%d", strings.TrimSuffix(filepath.Base(archive), ".txtar"), seed), func(t *testing.T) {
				root := unpack(t, archive)
				damage(t, root, rand.New(rand.NewPCG(seed, 1)))
				e := start(t, onTree(root, "--metrics.enable=.*", "--units.unlimited")...)
				wellFormed(t, e.get(t, "/metrics"))
			})
		}
	}
}

// damage breaks about one file in six, each in another way. What the program
// can't start without is left whole: it is tested elsewhere.
func damage(t *testing.T, root string, r *rand.Rand) {
	t.Helper()
	kinds := []func(path string, old []byte) error{
		func(p string, old []byte) error { return os.WriteFile(p, old[:len(old)/2], 0o644) },
		func(p string, _ []byte) error { return os.WriteFile(p, nil, 0o644) },
		func(p string, _ []byte) error { return os.WriteFile(p, []byte("\x00\xff\xfe{}\n\n\x7f"), 0o644) },
		func(p string, _ []byte) error {
			return os.WriteFile(p, []byte("99999999999999999999999999999999\n"), 0o644)
		},
		func(p string, _ []byte) error { return os.WriteFile(p, []byte("-1\n"), 0o644) },
		func(p string, old []byte) error {
			return os.WriteFile(p, bytes.ReplaceAll(old, []byte("0"), []byte("99999999999999999999")), 0o644)
		},
		func(p string, _ []byte) error { return os.Remove(p) },
		func(p string, _ []byte) error { // nobody, not even root, reads a directory like a file.
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o755)
		},
	}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || r.IntN(6) != 0 || strings.HasSuffix(path, "proc/meminfo") || strings.HasSuffix(path, "sys/kernel/osrelease") {
			return err
		}
		old, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return kinds[r.IntN(len(kinds))](path, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOddNamesAreServed(t *testing.T) {
	root := unpack(t, "testdata/hosts/desktop-v2.txtar")
	put := func(path, text string) {
		t.Helper()
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i, comm := range []string{"new\\nline", `quo"tes`, "ünï", "bad\xff\xfe", ") R 1 2", ""} {
		pid := 3000 + i
		put(fmt.Sprintf("proc/%d/oom_score", pid), "1300\n")
		put(fmt.Sprintf("proc/%d/oom_score_adj", pid), "1000\n")
		put(fmt.Sprintf("proc/%d/statm", pid), "900 300 10 1 0 100 0\n")
		put(fmt.Sprintf("proc/%d/comm", pid), strings.ReplaceAll(comm, `\n`, "\n")+"\n")
		put(fmt.Sprintf("proc/%d/stat", pid), fmt.Sprintf("%d (%s) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0 0\n", pid, strings.ReplaceAll(comm, `\n`, "\n"), pid))
		put(fmt.Sprintf("proc/%d/status", pid), fmt.Sprintf("Name:\t%s\nTgid:\t%d\nPid:\t%d\nVmRSS:\t 1200 kB\nRssAnon:\t 1000 kB\nVmPTE:\t 40 kB\nVmSwap:\t 0 kB\n", comm, pid, pid))
	}
	for _, dir := range []string{"sys/fs/cgroup/new\nline", "sys/fs/cgroup/bad\xff", "sys/fs/cgroup/bad\xfe", `sys/fs/cgroup/quo"te\`} {
		put(dir+"/memory.current", "1048576\n")
		put(dir+"/memory.max", "2097152\n")
		put(dir+"/memory.stat", "anon 1048576\nfile 0\ninactive_file 0\nactive_file 0\n")
	}
	if err := os.MkdirAll(filepath.Join(root, "sys/fs/cgroup/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	deep(t, filepath.Join(root, "sys/fs/cgroup/deep"), 20)
	// A slice of such a name is spelt as its children's paths are.
	for _, dir := range []string{"sys/fs/cgroup/odd\xfe\u202e", "sys/fs/cgroup/odd\xfe\u202e/leaf"} {
		put(dir+"/memory.current", "1048576\n")
		put(dir+"/memory.max", "1048576\n")
		put(dir+"/memory.stat", "anon 1048576\nfile 0\ninactive_file 0\nactive_file 0\n")
	}
	e := start(t, onTree(root, "--metrics.enable=.*")...)
	metrics := e.get(t, "/metrics")
	wellFormed(t, metrics)
	if strings.Contains(metrics, "\ufffd") {
		t.Error("a byte that is no UTF-8 is spelt in two ways")
	}
	for _, want := range []string{
		`oom_container_memory_limit_bytes{container="/odd\\xfe\\u202e/leaf",`, `oom_slice_memory_limit_bytes{cgroup="/odd\\xfe\\u202e"}`,
		`oom_container_memory_limit_bytes{container="/bad\\xff",`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, want := range []string{`comm="new\\x0aline"`, `comm="quo\"tes"`, `comm="ünï"`, `comm=") R 1 2"`, `comm="bad\\xff\\xfe"`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}

// deep makes groups with a path of 4,000 bytes, which only relative calls
// can do.
func deep(t *testing.T, dir string, levels int) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range levels {
		name := strings.Repeat("x", 199)
		if err := root.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := root.OpenRoot(name)
		if err != nil {
			t.Fatal(err)
		}
		_ = root.Close()
		root = next
		for file, text := range map[string]string{"memory.current": "4096\n", "memory.max": "max\n", "memory.stat": "anon 4096\nfile 0\ninactive_file 0\nactive_file 0\n"} {
			if err := root.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = root.Close()
}

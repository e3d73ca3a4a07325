// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/page"
)

func TestMetricsThatThereAreNot(t *testing.T) {
	for args, want := range map[string]string{
		"--metrics.enable=oom_contaner_memory_peak_bytes": "oom_container_memory_peak_bytes",
		"--metrics.disable=oom_node_kils_total":           "oom_node_kills_total",
		"--metrics.enable=go_.*":                          "matches no metric",
	} {
		_, _, err := parseArgs([]string{args}, streams{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	if _, _, err := parseArgs([]string{"--metrics.enable=oom_container_memory_.*", "--metrics.disable=oom_pod_.*"}, streams{}); err != nil {
		t.Error(err)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"ab", "ba", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestRelativeRoots: names are found below a relative root, too.
func TestRelativeRoots(t *testing.T) {
	t.Chdir(unpack(t, "testdata/hosts/k8s-v2-systemd.txtar"))
	e := start(t, onTree(".")...)
	if got := named(t, e, ""); !strings.Contains(got, `container="postgres",namespace="shop",pod="db-0"`) {
		t.Errorf("no names below a relative root:\n%s", got)
	}
}

// TestReadmesFirstQuery has something to show on a laptop without containers.
func TestReadmesFirstQuery(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	query := regexp.MustCompile(`/metrics \| grep (\w+)`).FindSubmatch(text)
	if query == nil {
		t.Fatal("README.md has no first query")
	}
	metrics, err := os.ReadFile("testdata/hosts/desktop-v2.prom")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(metrics)) {
		if strings.Contains(line, string(query[1])) && strings.HasPrefix(line, "oom_node_") { // all else comes with containers.
			found++
		}
	}
	if found == 0 {
		t.Errorf("grep %s finds nothing on a host without containers", query[1])
	}
}

// TestAdviceNamesFlagsThatThereAre: what a command advises is a flag of it.
func TestAdviceNamesFlagsThatThereAre(t *testing.T) {
	app := newApp(&config{}).Model()
	for _, command := range []string{"events", "explain"} {
		_, err := runWith(t, command, "--path.kmsg=/does/not/exist")
		if err == nil {
			t.Fatalf("%s reads what there is not", command)
		}
		own := map[string]bool{}
		for _, f := range app.Flags {
			own[f.Name] = true
		}
		for _, c := range app.Commands {
			for _, f := range c.Flags {
				own[f.Name] = own[f.Name] || c.Name == command
			}
		}
		for _, m := range regexp.MustCompile(`--([a-z.-]+)`).FindAllStringSubmatch(err.Error(), -1) {
			if !own[m[1]] {
				t.Errorf("%s advises --%s, which it has not: %v", command, m[1], err)
			}
		}
	}
}

func TestDoctor(t *testing.T) {
	out, err := runWith(t, append([]string{"doctor", "--format=json"}, onTree(unpack(t, "testdata/hosts/k8s-v2-systemd.txtar"))...)...)
	if err == nil || err.Error() != "exit code 4" {
		t.Errorf("without a kernel log: %v", err)
	}
	var d struct {
		Schema, State, Summary string
		Findings               []struct{ Source, State, Remedy string }
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.Schema != "oom_exporter.doctor/v1" || d.State != "missing" {
		t.Fatalf("%v: %s", err, out)
	}
	for _, f := range d.Findings {
		if f.State != "ok" && !strings.Contains(d.Summary, f.Source) {
			t.Errorf("%s is %s, but the summary is %q", f.Source, f.State, d.Summary)
		}
		if f.State != "ok" && f.State != "optional" && f.Remedy == "" {
			t.Errorf("%s is %s without a remedy", f.Source, f.State)
		}
	}
}

func TestLandlockFinding(t *testing.T) {
	if f := landlockFinding(0); f.State != page.StateOptional || f.Remedy == "" {
		t.Errorf("without Landlock: %+v", f)
	}
	if f := landlockFinding(7); f.State != page.StateOK || !strings.Contains(f.Detail, "version 7") || f.Remedy != "" {
		t.Errorf("with Landlock: %+v", f)
	}
}

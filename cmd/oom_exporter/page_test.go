// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/collector"
)

// changing is what differs from run to run on a node's page.
var changing = regexp.MustCompile(`As of [^.]*\. |As of [^<]*<|oom_exporter [^<]*</p>`)

// TestNodesPageOfHosts holds the node's page of each fixture host, and that each
// workload that it names has a page.
func TestNodesPageOfHosts(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, archive := range hosts(t) {
		name := strings.TrimSuffix(filepath.Base(archive), ".txtar")
		t.Run(name, func(t *testing.T) {
			e := start(t, onTree(unpack(t, archive))...)
			named(t, e, "")
			// A page may show the pass before, which is up to freshFor old.
			deadline := time.Now().Add(4 * freshFor)
			path := filepath.Join("testdata", "hosts", name+".html")
			var got string
			for {
				got = changing.ReplaceAllString(strings.ReplaceAll(e.get(t, "/"), hostname, "HOST"), "")
				want, err := os.ReadFile(path)
				if *update && (!regexp.MustCompile(`>[^<]*/[0-9a-f]{12}<`).MatchString(got) || time.Now().After(deadline)) {
					want, err = []byte(got), os.WriteFile(path, []byte(got), 0o644)
				}
				if string(want) == got && err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s differs (go test -update writes it anew): %v\n%s", path, err, cmp.Diff(string(want), got))
				}
			}
			for _, link := range regexp.MustCompile(`href="\./(workloads/[^"]+)"`).FindAllStringSubmatch(got, -1) {
				e.get(t, "/"+link[1])
			}
			e.get(t, "/doctor")
		})
	}
}

func TestWithoutPages(t *testing.T) {
	e := start(t, onTree(unpack(t, "testdata/hosts/docker-hybrid.txtar"), "--no-web.page")...)
	if body := e.get(t, "/"); !strings.Contains(body, `href="/metrics"`) || strings.Contains(body, "page.css") {
		t.Errorf("without pages, / is %s", body)
	}
	for _, path := range []string{"/workloads", "/kills/x", "/doctor", "/page.css"} {
		resp, err := http.Get(e.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
}

// TestAPageSharesThePassOfAScrape: while somebody looks, what a scrape has read
// is shown; while nobody does, a scrape copies nothing.
func TestAPageSharesThePassOfAScrape(t *testing.T) {
	c, _, err := parseArgs(onTree(unpack(t, "testdata/hosts/k8s-v2-systemd.txtar")), streams{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := assemble(c, log.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	shared := &looks{host: p.host}
	set := collector.New(shared, collector.Options{})
	scrape := func() {
		_, done, err := set.Gather(collector.Request{})
		if err != nil {
			t.Fatal(err)
		}
		done()
	}
	scrape()
	if shared.last.Load() != nil {
		t.Error("a scrape copies what nobody looks at")
	}
	first := shared.Look()
	if len(first.Groups.Containers) == 0 || first.Node == nil || first.Err != nil {
		t.Fatalf("a look without a scrape: %+v", first)
	}
	if second := shared.Look(); second.Time != first.Time {
		t.Error("two looks at one time make two passes")
	}
	scrape()
	third := shared.Look()
	if !third.Time.After(first.Time) || len(third.Groups.Containers) != len(first.Groups.Containers) {
		t.Errorf("the pass of a scrape is not shown: %v, %v", first.Time, third.Time)
	}
	name := first.Groups.Containers[0].Workload
	scrape() // it uses the memory of the passes before.
	if first.Groups.Containers[0].Workload != name {
		t.Error("a look changes under the reader")
	}
}

func TestAPageWithoutCgroupsSaysSo(t *testing.T) {
	root := unpack(t, "testdata/hosts/k8s-v2-systemd.txtar")
	if err := os.RemoveAll(filepath.Join(root, "sys")); err != nil {
		t.Fatal(err)
	}
	e := start(t, onTree(root)...)
	if body := e.get(t, "/"); !strings.Contains(body, "Incomplete: ") {
		t.Errorf("the page does not say that cgroups are missing: %s", body)
	}
}

// TestTheReportOfAKill: the page of a kill has the kernel's report in words.
func TestTheReportOfAKill(t *testing.T) {
	root := unpack(t, "testdata/hosts/k8s-v2-systemd.txtar")
	text, err := os.ReadFile("testdata/kill.kmsg")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "dev", "kmsg"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	e := start(t, onTree(root)...)
	var link []string
	for deadline := time.Now().Add(20 * time.Second); link == nil; {
		link = regexp.MustCompile(`href="\./(kills/[^"]+)"`).FindStringSubmatch(e.get(t, "/"))
		if time.Now().After(deadline) {
			t.Fatal("no kill on the page")
		}
	}
	id, err := url.PathUnescape(link[1])
	if err != nil {
		t.Fatal(err)
	}
	body := e.get(t, "/"+id)
	for _, want := range []string{"hog (pid 421)", "The kernel's report, explained", "reached its memory limit"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of the kill has no %q:\n%s", want, body)
		}
	}
}

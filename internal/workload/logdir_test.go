// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestParseLogName(t *testing.T) {
	t.Parallel()
	named := func(namespace, pod, container, id string) found {
		return found{ID: id, Workload: oom.Workload{Namespace: namespace, Pod: pod, Container: container}}
	}
	// A name as kubelet cuts it: 251 bytes and .log.
	longest := func(pod, container string) string {
		return (pod + "_kube-system_" + container + "-" + idA)[:251] + ".log"
	}
	longPod := strings.Repeat("p", 200)
	for _, tc := range []struct {
		name      string
		want      found
		whole, ok bool
	}{
		{"coredns-668d6bf9bc-2xkzq_kube-system_coredns-" + idA + ".log", named("kube-system", "coredns-668d6bf9bc-2xkzq", "coredns", idA), true, true},
		{"etcd-node-1.example.org_kube-system_etcd-" + idA + ".log", named("kube-system", "etcd-node-1.example.org", "etcd", idA), true, true},
		{"web_default_istio-proxy-" + idA + ".log", named("default", "web", "istio-proxy", idA), true, true},
		// 200 + 13 + 3 bytes: 34 digits of the id are left.
		{longest(longPod, "ab"), named("kube-system", longPod, "ab", idA[:35]), false, true},
		// Not even the container's name is whole.
		{longest(longPod, strings.Repeat("c", 60)), named("kube-system", longPod, "", ""), false, true},
		{"web_default_app-" + idA, found{}, false, false},
		{"web_default_app-" + idA[1:] + ".log", found{}, false, false},
		{"web_default_-" + idA + ".log", found{}, false, false},
		{"_default_app-" + idA + ".log", found{}, false, false},
		{"web__app-" + idA + ".log", found{}, false, false},
		{"web_a_b_app-" + idA + ".log", found{}, false, false},
		{"app-" + idA + ".log", found{}, false, false},
		{"syslog", found{}, false, false},
		{".log", found{}, false, false},
	} {
		got, whole, ok := parseLogName(tc.name)
		if diff := cmp.Diff(tc.want, got); diff != "" || whole != tc.whole || ok != tc.ok {
			t.Errorf("parseLogName(%q) = whole %v, ok %v (-want +got):\n%s", tc.name, whole, ok, diff)
		}
	}
}

func TestParsePodDir(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		want found
		ok   bool
	}{
		{"kube-system_etcd-node_" + staticUID, found{PodUID: staticUID, Workload: oom.Workload{Namespace: "kube-system", Pod: "etcd-node"}}, true},
		{"default_web-0_" + podUID, found{PodUID: podUID, Workload: oom.Workload{Namespace: "default", Pod: "web-0"}}, true},
		{"default_web-0", found{}, false},
		{"default__" + podUID, found{}, false},
		{"_web_" + podUID, found{}, false},
		{"default_web_", found{}, false},
		{"a_b_c_d", found{}, false},
	} {
		got, ok := parsePodDir(tc.name)
		if diff := cmp.Diff(tc.want, got); diff != "" || ok != tc.ok {
			t.Errorf("parsePodDir(%q) = %v (-want +got):\n%s", tc.name, ok, diff)
		}
	}
}

func FuzzParseLogName(f *testing.F) {
	f.Add("coredns-2xkzq_kube-system_coredns-" + idA + ".log")
	f.Add(strings.Repeat("p", 251) + ".log")
	f.Add("default_web-0_" + podUID)
	f.Fuzz(func(t *testing.T, name string) {
		got, whole, ok := parseLogName(name)
		if ok && whole {
			w := got.Workload
			if back := w.Pod + "_" + w.Namespace + "_" + w.Container + "-" + got.ID + ".log"; back != name {
				t.Errorf("parseLogName(%q) reads as %q", name, back)
			}
		}
		if got, ok := parsePodDir(name); ok {
			if back := got.Workload.Namespace + "_" + got.Workload.Pod + "_" + got.PodUID; back != name {
				t.Errorf("parsePodDir(%q) reads as %q", name, back)
			}
		}
	})
}

// logTree makes the two directories as kubelet does, links included.
func logTree(t *testing.T) (dirs []string, root string) {
	t.Helper()
	root = writeFiles(t, map[string]string{
		"pods/default_web-0_" + podUID + "/app/0.log":   "",
		"pods/default_pulling_" + podUID2 + "/":         "",
		"pods/kube-system_etcd-n1_" + staticUID + "/x/": "",
		"pods/stray":      "",
		"containers/junk": "",
	})
	link := filepath.Join(root, "containers", "web-0_default_app-"+idA+".log")
	if err := os.Symlink("/var/log/pods/default_web-0_"+podUID+"/app/0.log", link); err != nil {
		t.Fatal(err)
	}
	return []string{filepath.Join(root, "containers"), filepath.Join(root, "pods")}, root
}

func sorted(list []found) []found {
	slices.SortFunc(list, func(a, b found) int {
		return strings.Compare(a.ID+a.PodUID+a.Workload.Container, b.ID+b.PodUID+b.Workload.Container)
	})
	return list
}

func TestLogDirs(t *testing.T) {
	t.Parallel()
	dirs, _ := logTree(t)
	want := []wanted{
		{ID: idA, PodUID: podUID, Live: true},
		{ID: idB, PodUID: podUID, Live: true},  // without a file, in a pod that has containers.
		{ID: idC, PodUID: podUID2, Live: true}, // in a pod that has none yet: its sandbox.
		{ID: idC[:63] + "0", PodUID: podUID2, Live: false},
		{ID: idC[:63] + "1", PodUID: "unknown", Live: true},
	}
	got, err := (&logDirs{dirs: dirs}).lookup(context.Background(), want)
	if err != nil {
		t.Fatal(err)
	}
	pod := func(namespace, name string) oom.Workload { return oom.Workload{Namespace: namespace, Pod: name} }
	expected := []found{
		{ID: idA, Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "app"}},
		{ID: idC, PodUID: podUID2, Sandbox: true, Workload: oom.Workload{Namespace: "default", Pod: "pulling", Container: "POD"}},
		{PodUID: podUID, Workload: pod("default", "web-0")},
		{PodUID: podUID2, Workload: pod("default", "pulling")},
	}
	if diff := cmp.Diff(sorted(expected), sorted(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLogDirsCutNames(t *testing.T) {
	t.Parallel()
	pod := strings.Repeat("p", 200)
	root := writeFiles(t, map[string]string{
		"containers/" + (pod + "_default_main-" + idA)[:251] + ".log":                            "",
		"containers/" + (pod + "_default_" + strings.Repeat("s", 60) + "-" + idB)[:251] + ".log": "",
	})
	dirs := []string{filepath.Join(root, "containers"), filepath.Join(root, "pods")}
	got, err := (&logDirs{dirs: dirs}).lookup(context.Background(), []wanted{{ID: idA}, {ID: idB}})
	if err != nil {
		t.Fatal(err)
	}
	expected := []found{{ID: idA, Workload: oom.Workload{Namespace: "default", Pod: pod, Container: "main"}}}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// With the pod's directory known, it is marked: its containers can't be told by their files.
	names := []found{{PodUID: podUID, Workload: oom.Workload{Namespace: "default", Pod: "p"}}}
	cut := []found{{Workload: oom.Workload{Namespace: "default", Pod: "p"}}}
	vague := matchCut(cut, names, nil)
	if len(vague) != 1 || !vague[0].Vague || vague[0].PodUID != podUID {
		t.Errorf("matchCut = %+v", vague)
	}
}

func TestLogDirsErrors(t *testing.T) {
	t.Parallel()
	dirs, root := logTree(t)
	missing := filepath.Join(root, "nowhere")
	if _, err := (&logDirs{dirs: []string{missing, missing}}).lookup(context.Background(), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the directories: %v", err)
	}
	got, err := (&logDirs{dirs: []string{dirs[0], missing}}).lookup(context.Background(), []wanted{{ID: idA}})
	if err != nil || len(got) != 1 {
		t.Errorf("with one directory: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (&logDirs{dirs: dirs}).lookup(ctx, nil); err == nil {
		t.Error("a lookup that was given up says it is complete")
	}
}

// A listing tells for sure what a directory had not; and no change of the
// directory is missed.
func TestLogDirsFollowChanges(t *testing.T) {
	t.Parallel()
	dirs, _ := logTree(t)
	s := &logDirs{dirs: dirs}
	look := func(want ...wanted) []found {
		t.Helper()
		got, err := s.lookup(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := look(wanted{ID: idB}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	long := time.Now().Add(-time.Hour)
	for _, dir := range dirs {
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	look(wanted{ID: idB})
	before := s.listed[dirs[0]]
	if look(wanted{ID: idB}, wanted{ID: idC}); s.listed[dirs[0]] != before {
		t.Error("a directory without a change was listed again for what it has not")
	}
	if got := look(wanted{ID: idA}); len(got) != 1 {
		t.Errorf("what an unchanged directory has: %+v", got)
	}
	for _, id := range []string{idB, idC} { // the second change may be in the same tick of the clock.
		if err := os.WriteFile(filepath.Join(dirs[0], "new_default_app-"+id+".log"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := look(wanted{ID: id}); len(got) != 1 || got[0].Workload.Pod != "new" {
			t.Errorf("a new file: %+v", got)
		}
	}
}

// FuzzLogKey holds the way names are looked for against the way they are read.
func FuzzLogKey(f *testing.F) {
	f.Add("coredns-2xkzq_kube-system_coredns-" + idA + ".log")
	f.Add("default_web-0_" + podUID)
	f.Fuzz(func(t *testing.T, name string) {
		key, ok := logKey(name)
		if got, whole, is := parseLogName(name); is && whole && (!ok || key != got.ID) {
			t.Errorf("%q is looked for by %q", name, key)
		} else if pod, is := parsePodDir(name); !whole && is && (!ok || key != pod.PodUID) && !strings.HasSuffix(name, ".log") {
			t.Errorf("%q is looked for by %q", name, key)
		}
	})
}

// BenchmarkLogDirs is a new container without a name on a node that has kept the
// files of 100,000 dead ones.
func BenchmarkLogDirs(b *testing.B) {
	dir := b.TempDir()
	for i := range 100_000 {
		name := fmt.Sprintf("web-%08d-abcde_production_app-%064x.log", i, i)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for name, changed := range map[string]bool{"unchanged": false, "changed": true} {
		b.Run(name, func(b *testing.B) {
			n := newNamer(Options{}, []source{&logDirs{dirs: []string{dir}}})
			old := time.Now().Add(-time.Hour)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				if at := old.Add(time.Duration(i) * time.Second); changed || i == 1 {
					if err := os.Chtimes(dir, at, at); err != nil {
						b.Fatal(err)
					}
				}
				r := n.runners[0]
				names, err := r.source.lookup(b.Context(), []wanted{{ID: fmt.Sprintf("%064x", 1_000_000+i), Live: true}})
				if err != nil {
					b.Fatal(err)
				}
				for _, f := range names {
					n.cache.learn(r.rank, f, old)
				}
			}
		})
	}
}

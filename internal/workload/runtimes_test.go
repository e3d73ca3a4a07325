// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestParseKubernetesName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		want found
		ok   bool
	}{
		{"k8s_app_web-0_default_" + podUID + "_3", found{Claimed: true, Own: "k8s_app_web-0_default_" + podUID + "_3", PodUID: podUID, Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "app"}}, true},
		{"k8s_POD_web-0_default_" + podUID + "_0", found{Claimed: true, Own: "k8s_POD_web-0_default_" + podUID + "_0", PodUID: podUID, Sandbox: true, Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "POD"}}, true},
		{"k8s_app_web-0_default_" + podUID, found{}, false},
		{"k8s_app__default_" + podUID + "_0", found{}, false},
		{"web", found{}, false},
		{"", found{}, false},
	} {
		got, ok := parseKubernetesName(tc.name)
		if diff := cmp.Diff(tc.want, got); diff != "" || ok != tc.ok {
			t.Errorf("parseKubernetesName(%q) = %v (-want +got):\n%s", tc.name, ok, diff)
		}
	}
}

func TestDockerFiles(t *testing.T) {
	t.Parallel()
	root := writeFiles(t, map[string]string{
		"containers/" + idA + "/config.v2.json": `{"StreamConfig":{},"State":{"Running":true,"Pid":4711},"ID":"` + idA +
			`","Config":{"Hostname":"x","Image":"redis:7"},"Image":"sha256:0123","Name":"/cache"}`,
		"containers/" + idB + "/config.v2.json": `{"Name":`,
	})
	source := dockerFiles{root}
	want := []wanted{{ID: idB}, {ID: idC}, {ID: idA}}
	got, err := source.lookup(context.Background(), want)
	expected := []found{{ID: idA, Runtime: "docker", Image: "redis:7", Workload: oom.Workload{Container: "cache"}}}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err == nil || !strings.Contains(err.Error(), shortB) {
		t.Errorf("the broken file's error is %v", err)
	}
	if _, err := (dockerFiles{root + "/none"}).lookup(context.Background(), want); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without dockerd: %v", err)
	}
}

// TestEachFile has one file that may not be read, and one that is gone: the others'
// names are found all the same, and the first error is told.
func TestEachFile(t *testing.T) {
	t.Parallel()
	got, err := eachFile(context.Background(), []wanted{{ID: idC}, {ID: idB}, {ID: idA}}, func(id string) (found, error) {
		switch id {
		case idB:
			return found{}, &fs.PathError{Op: "open", Path: id, Err: fs.ErrPermission}
		case idC:
			return found{}, fs.ErrNotExist
		}
		return found{ID: id}, nil
	})
	if len(got) != 1 || got[0].ID != idA || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("found %v, error %v", got, err)
	}
}

func TestDockerSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "docker.sock")
	var status atomic.Int32
	status.Store(http.StatusOK)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/containers/json" || r.URL.Query().Get("all") != "1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(int(status.Load()))
		fmt.Fprintf(w, `[{"Id":%q,"Names":["/other/alias","/cache"],"Image":"redis:7","State":"running"},
			{"Id":%q,"Names":["/k8s_app_web-0_default_%s_0"],"Image":"sha256:77"},
			{"Id":"short","Names":["/x"]},{"Id":%q,"Names":[]}]`, idA, idB, podUID, idC)
	})}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })

	source := dockerSocket{path}
	got, err := source.lookup(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	expected := []found{
		{ID: idA, Runtime: "docker", Image: "redis:7", Workload: oom.Workload{Container: "cache"}},
		{ID: idB, Runtime: "docker", Image: "sha256:77", PodUID: podUID, Claimed: true, Own: "k8s_app_web-0_default_" + podUID + "_0", Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "app"}},
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	status.Store(http.StatusInternalServerError)
	if _, err := source.lookup(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("an error of dockerd's: %v", err)
	}
	if _, err := (dockerSocket{path + ".none"}).lookup(context.Background(), nil); err == nil {
		t.Error("no socket, no error")
	}
}

func TestPodmanStorage(t *testing.T) {
	t.Parallel()
	const list = `[{"id":"` + idA + `","names":["db"],"image":"77","layer":"88","metadata":"{\"image-name\":\"docker.io/library/postgres:16\",\"name\":\"db\"}","created":"2026-01-01T00:00:00Z"},
		{"id":"` + idB + `","names":["k8s_app_web-0_default_` + podUID + `_0"],"metadata":"{\"image-name\":\"quay.io/web:1\",\"pod-name\":\"x\"}"},
		{"id":"` + idC + `","names":[],"metadata":""},{"id":"../../x","names":["evil"]}]`
	root := writeFiles(t, map[string]string{
		"a/overlay-containers/containers.json":         list,
		"b/vfs-containers/volatile-containers.json":    `[{"id":"` + idC + `","names":["temp"],"metadata":"not json"}]`,
		"broken/overlay-containers/containers.json":    `{`,
		"unwritten/overlay-containers/containers.lock": "",
	})
	db := found{ID: idA, Runtime: "podman", Image: "docker.io/library/postgres:16", Workload: oom.Workload{Container: "db"}}
	web := found{ID: idB, Runtime: "cri-o", Image: "quay.io/web:1", PodUID: podUID, Claimed: true, Own: "k8s_app_web-0_default_" + podUID + "_0", Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "app"}}
	temp := found{ID: idC, Runtime: "podman", Workload: oom.Workload{Container: "temp"}}
	asUser := func(f found) found { f.Rootless = true; return f }
	at := func(names ...string) []string {
		for i := range names {
			names[i] = filepath.Join(root, names[i])
		}
		return names
	}
	for _, tc := range []struct {
		name   string
		source podmanStorage
		want   []found
		err    bool
	}{
		{"the system's", podmanStorage{roots: at("a", "b", "none")}, []found{db, web, temp}, false},
		{"a user's names no pods", podmanStorage{roots: at("a", "b"), rootless: true}, []found{asUser(db), asUser(temp)}, false},
		{"broken", podmanStorage{roots: at("a", "broken")}, []found{db, web}, true},
		{"not there", podmanStorage{roots: at("none", "unwritten")}, nil, true},
	} {
		got, err := tc.source.lookup(context.Background(), nil)
		if diff := cmp.Diff(tc.want, got); diff != "" || (err != nil) != tc.err {
			t.Errorf("%s: %v (-want +got):\n%s", tc.name, err, diff)
		}
		if tc.name == "not there" && errorKind(err) != kindAbsent {
			t.Errorf("%s: %v counts as %q", tc.name, err, errorKind(err))
		}
	}
}

// A list in a user's home may be anything.
func TestReadBounded(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"file": "12345"})
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readBounded(fifo, 10); err == nil {
		t.Error("a pipe was read")
	}
	if _, err := readBounded(dir, 10); err == nil {
		t.Error("a directory was read")
	}
	if _, err := readBounded(filepath.Join(dir, "file"), 4); err == nil {
		t.Error("a file over the bound was read")
	}
	if data, err := readBounded(filepath.Join(dir, "file"), 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := readBounded(filepath.Join(dir, "none"), 5); !absent(err) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := readBounded(filepath.Join(dir, "file", "x"), 5); !absent(err) {
		t.Errorf("a file that is no directory: %v", err)
	}
}

func TestContainerdState(t *testing.T) {
	t.Parallel()
	const tasks = "run/containerd/io.containerd.runtime.v2.task/"
	root := writeFiles(t, map[string]string{
		tasks + "k8s.io/" + idA + "/config.json": `{"ociVersion":"1.0.2","process":{"args":["x"]},"annotations":{
			"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.container-type":"container",
			"io.kubernetes.cri.image-name":"registry.k8s.io/web:1","io.kubernetes.cri.sandbox-id":"` + idB + `",
			"io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"default","io.kubernetes.cri.sandbox-uid":"` + podUID + `"}}`,
		tasks + "k8s.io/" + idB + "/config.json": `{"annotations":{"io.kubernetes.cri.container-type":"sandbox",
			"io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"default","io.kubernetes.cri.sandbox-uid":"` + podUID + `"}}`,
		tasks + "default/" + idC + "/config.json":    `{"annotations":{"nerdctl/name":"cache","nerdctl/image-name":"redis:7"}}`,
		tasks + "moby/" + idC[:63] + "1/config.json": `{"annotations":{}}`,
		tasks + "moby/" + idC[:63] + "2/config.json": `{"annotations":[]}`,
	})
	source := containerdState{[]string{filepath.Join(root, "run/containerd"), filepath.Join(root, "run/k3s/containerd")}}
	got, err := source.lookup(context.Background(), []wanted{{ID: idA}, {ID: idB}, {ID: idC}, {ID: idC[:63] + "1"}, {ID: idC[:63] + "2"}, {ID: idC[:63] + "3"}})
	expected := []found{
		{ID: idA, PodUID: podUID, Runtime: "containerd", Image: "registry.k8s.io/web:1", Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "app"}},
		{ID: idB, PodUID: podUID, Runtime: "containerd", Sandbox: true, Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "POD"}},
		{ID: idC, Runtime: "containerd", Image: "redis:7", Workload: oom.Workload{Container: "cache"}},
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err == nil {
		t.Error("a broken bundle makes no error")
	}
	if _, err := (containerdState{[]string{root + "/none"}}).lookup(context.Background(), nil); errorKind(err) != kindAbsent {
		t.Errorf("without containerd: %v", err)
	}
}

func TestErrorKind(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{os.ErrNotExist, kindAbsent},
		{errors.Join(os.ErrNotExist, os.ErrPermission), kindDenied},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), kindSlow},
		{errors.New("status 500"), kindBroken},
	} {
		if got := errorKind(tc.err); got != tc.want {
			t.Errorf("errorKind(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"annotations":{"nerdctl/name":"x"},"Name":"/x","Config":{"Image":"y"}}`))
	f.Add([]byte(`[{"id":"` + idA + `","names":["x"],"metadata":"{}","Id":"` + idA + `","Names":["/x"]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := parseBundle(idA, data); err == nil && got.ID != idA {
			t.Errorf("parseBundle(%q) = %+v", data, got)
		}
		if got, err := parseDockerConfig(idA, data); err == nil && got.ID != idA {
			t.Errorf("parseDockerConfig(%q) = %+v", data, got)
		}
		for _, parse := range []func(io.Reader) ([]found, error){parseStorage, parseDockerList} {
			list, _ := parse(bytes.NewReader(data))
			for _, got := range list {
				if !isID(got.ID) || got.Workload.Container == "" {
					t.Errorf("%q has %+v", data, got)
				}
			}
		}
	})
}

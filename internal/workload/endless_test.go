// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// mostMemory is what a hostile source may make the program hold.
const mostMemory = 80 << 20

// heapDuring returns by how much the heap grew at most while f ran.
func heapDuring(f func()) (most int64) {
	heap := func() int64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	before := heap()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		most = max(most, heap()-before)
		select {
		case <-done:
			return most
		case <-tick.C:
		}
	}
}

// endless is an HTTP server on a Unix socket that repeats a text.
func endless(t *testing.T, head, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := fmt.Fprint(w, head)
		for block := strings.Repeat(text, 1+4096/len(text)); err == nil; {
			_, err = fmt.Fprint(w, block)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return path
}

// sparse is a file of a text that is as long as a list may be.
func sparse(t *testing.T, head, text string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "overlay-containers")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	content := head + strings.Repeat(text, (maxListFile-len(head))/len(text))
	if err := os.WriteFile(filepath.Join(dir, "containers.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// Sources that never end, or whose answers grow when they are decoded, cost a
// bounded amount of memory, and are errors.
func TestEndlessSources(t *testing.T) {
	item := `{"Id":"` + idA + `","Names":["/x"],"id":"` + idA + `","names":["x"]},`
	for _, tc := range []struct{ name, head, text string }{
		{"empty items", "[", "{},"},
		{"items", "[", item},
		{"a string", `[{"Image":"`, "x"},
		{"names", `[{"Id":"` + idA + `","Names":[`, `"",`},
		{"unknown fields", `[{`, `"a":[],`},
		{"brackets", "", "["},
		{"spaces", "", " "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, s := range map[string]source{
				"docker": dockerSocket{endless(t, tc.head, tc.text)},
				"podman": podmanStorage{roots: []string{sparse(t, tc.head, tc.text)}},
			} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				var names []found
				var err error
				most := heapDuring(func() { names, err = s.lookup(ctx, nil) })
				cancel()
				if err == nil || len(names) > maxListed || most > mostMemory {
					t.Errorf("%s: %d names, error %v, %d MiB", name, len(names), err, most>>20)
				}
				t.Logf("%s: %d MiB at most", name, most>>20)
			}
		})
	}
}

// A list of CRI that is as large as it may be costs what it is long, whatever is
// in it.
func TestLargeListsOfCRI(t *testing.T) {
	field := func(b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)
	}
	fill := func(item []byte) []byte { return bytes.Repeat(field(item), maxListFile/len(field(item))) }
	for name, message := range map[string][]byte{
		"empty items":  fill(nil),
		"labels":       field(bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, 8, protowire.BytesType), nil), maxListItem/4)),
		"one item":     fill(make([]byte, maxListItem+1)),
		"other fields": bytes.Repeat(protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 1), maxListFile/2),
	} {
		var names []found
		most := heapDuring(func() {
			sandboxes, _ := sandboxesCRI(message, "")
			names, _ = containersCRI(message, sandboxes)
		})
		if len(names) > 2*maxListed || most > mostMemory {
			t.Errorf("%s: %d names, %d MiB", name, len(names), most>>20)
		}
	}
}

// FuzzCRI reads what a container runtime may answer.
func FuzzCRI(f *testing.F) {
	f.Add([]byte("\n\x02\n\x00"), []byte{})
	f.Fuzz(func(t *testing.T, sandboxes, containers []byte) {
		names, _ := sandboxesCRI(sandboxes, "containerd")
		names, _ = containersCRI(containers, names)
		for _, n := range names {
			if !isID(n.ID) {
				t.Errorf("id %q", n.ID)
			}
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// api is an API server that answers with the given status codes, then with 201.
type api struct {
	mu      sync.Mutex
	answers []int
	got     []call
	hang    chan struct{}
}

type call struct {
	method, path, auth, kind string
	body                     map[string]any
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.hang != nil {
		<-a.hang
		return
	}
	c := call{method: r.Method, path: r.URL.Path, auth: r.Header.Get("Authorization"), kind: r.Header.Get("Content-Type")}
	_ = json.NewDecoder(r.Body).Decode(&c.body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, c)
	status := http.StatusCreated
	if len(a.answers) > 0 {
		status, a.answers = a.answers[0], a.answers[1:]
	}
	w.WriteHeader(status)
}

func sender(t *testing.T, a *api) *Sender {
	t.Helper()
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, b := range map[string][]byte{"ca": ca, "token": []byte("secret\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(Options{
		API: server.URL, CAFile: filepath.Join(dir, "ca"), TokenFile: filepath.Join(dir, "token"),
		Node: "node-1", Timeout: 200 * time.Millisecond, Queue: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var killed = Event{
	Namespace: "shop", Pod: "web-1", PodUID: "0a-1", Container: "app",
	Reason: "OomGuardKillContainer", Message: "gone", Time: time.Unix(1e9, 0),
}

func TestEventIsCreatedThenCountedUp(t *testing.T) {
	a := &api{answers: []int{201, 200, 404, 201}}
	s := sender(t, a)
	late := killed
	for i, after := range []time.Duration{0, time.Minute, 2 * time.Minute, time.Hour} {
		late.Time = killed.Time.Add(after)
		if err := s.write(context.Background(), late); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	var methods []string
	for _, c := range a.got {
		methods = append(methods, c.method)
		if c.auth != "Bearer secret" || !strings.HasPrefix(c.path, "/api/v1/namespaces/shop/events") {
			t.Errorf("%s %s with %q", c.method, c.path, c.auth)
		}
	}
	// The third is not known to the server any more, the fourth comes too late.
	if want := []string{"POST", "PATCH", "PATCH", "POST", "POST"}; !slices.Equal(methods, want) {
		t.Fatalf("methods = %v, want %v", methods, want)
	}
	first := a.got[0].body
	about, _ := first["involvedObject"].(map[string]any)
	if about["kind"] != "Pod" || about["name"] != "web-1" || about["uid"] != "0a-1" || about["fieldPath"] != "spec.containers{app}" {
		t.Errorf("involvedObject = %v", about)
	}
	if first["reason"] != "OomGuardKillContainer" || first["type"] != "Warning" || first["firstTimestamp"] != "2001-09-09T01:46:40Z" {
		t.Errorf("event = %v", first)
	}
	if a.got[1].body["count"] != 2.0 || a.got[1].kind != "application/merge-patch+json" {
		t.Errorf("patch = %v as %s", a.got[1].body, a.got[1].kind)
	}
	if name, _ := first["metadata"].(map[string]any); !strings.HasSuffix(a.got[1].path, "/"+name["name"].(string)) {
		t.Errorf("patched %s, created %v", a.got[1].path, name)
	}
}

func TestForbiddenIsNotTriedAgain(t *testing.T) {
	a := &api{answers: []int{403, 403, 403}}
	s := sender(t, a)
	s.deliver(context.Background(), killed)
	if sent, failed, _ := s.Counts(); len(a.got) != 1 || sent != 0 || failed != 1 {
		t.Errorf("%d requests, %d sent, %d failed", len(a.got), sent, failed)
	}
}

func TestServerErrorsAreTriedAgain(t *testing.T) {
	a := &api{answers: []int{500, 201}}
	s := sender(t, a)
	s.deliver(context.Background(), killed)
	if sent, failed, _ := s.Counts(); len(a.got) != 2 || sent != 1 || failed != 0 {
		t.Errorf("%d requests, %d sent, %d failed", len(a.got), sent, failed)
	}
}

// TestSendNeverWaits has an API server that hangs: the queue fills, and what
// is over is dropped.
func TestSendNeverWaits(t *testing.T) {
	a := &api{hang: make(chan struct{})}
	s := sender(t, a)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	begin := time.Now()
	for range 100 {
		s.Send(killed)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("100 events took %v", took)
	}
	if _, _, dropped := s.Counts(); dropped < 90 {
		t.Errorf("%d dropped, want all but the queue", dropped)
	}
	cancel()
	<-done
	close(a.hang)
}

func TestEventsWithoutAPodAreLeftOut(t *testing.T) {
	s := sender(t, &api{})
	s.Send(Event{Container: "db.service", Reason: "x"})
	if len(s.queue) != 0 {
		t.Error("an event about no pod was queued")
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for _, o := range []Options{
		{API: ""}, {API: "10.0.0.1:443"}, {API: "https://10.0.0.1", CAFile: filepath.Join(t.TempDir(), "none")},
	} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	o := Usual(func(name string) string {
		return map[string]string{"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "NODE_NAME": "n"}[name]
	})
	if o.API != "https://[fd00::1]:443" || o.Node != "n" {
		t.Errorf("usual = %+v", o)
	}
}

// TestWhatIsQueuedIsSentAtTheEnd: events of what was done last are not lost, and
// an API server that hangs holds nothing up for long.
func TestWhatIsQueuedIsSentAtTheEnd(t *testing.T) {
	a := &api{}
	s := sender(t, a)
	other := killed
	other.Pod = "web-2"
	s.Send(killed)
	s.Send(other)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Run(ctx)
	if sent, failed, dropped := s.Counts(); sent != 2 || failed != 0 || dropped != 0 {
		t.Errorf("%d sent, %d failed, %d dropped; want both sent", sent, failed, dropped)
	}
	hang := &api{hang: make(chan struct{})}
	defer close(hang.hang)
	s = sender(t, hang)
	s.Send(killed)
	begun := time.Now()
	s.Run(ctx)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/oom-exporter/oom_exporter/internal/guard"
)

// run sends a warning to a server and waits until it counts.
func run(t *testing.T, handle http.HandlerFunc) (sent, failed uint64) {
	t.Helper()
	server := httptest.NewServer(handle)
	defer server.Close()
	s, err := New(server.URL+"/oom", log.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Run(ctx)
	s.Warn(guard.Warning{Namespace: "shop", Pod: "web", Cgroup: "/a", PID: 7, Limit: 100, TimeLeft: 2.5})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-time.After(time.Millisecond) {
		if sent, failed, _ = s.Counts(); sent+failed > 0 {
			return sent, failed
		}
	}
	t.Fatal("nothing was sent")
	return 0, 0
}

func TestAWarningIsPosted(t *testing.T) {
	var got guard.Warning
	sent, failed := run(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/oom" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s as %q", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if sent != 1 || failed != 0 || got.Pod != "web" || got.PID != 7 || got.TimeLeft != 2.5 {
		t.Errorf("%d sent, %d failed, got %+v", sent, failed, got)
	}
}

// TestRefusalsCount: an error of the server is one, and a redirect is not followed.
func TestRefusalsCount(t *testing.T) {
	for _, code := range []int{http.StatusInternalServerError, http.StatusFound, http.StatusNotFound} {
		sent, failed := run(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/oom" {
				t.Error("the redirect was followed")
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		})
		if sent != 0 || failed != 1 {
			t.Errorf("status %d: %d sent, %d failed", code, sent, failed)
		}
	}
}

// TestWarnNeverWaits has nobody send: what is over the queue is dropped.
func TestWarnNeverWaits(t *testing.T) {
	s, err := New("http://127.0.0.1:1/", log.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	for range queue + 3 {
		s.Warn(guard.Warning{})
	}
	if _, _, dropped := s.Counts(); dropped != 3 {
		t.Errorf("%d dropped, want 3", dropped)
	}
}

func TestBadURLs(t *testing.T) {
	for _, u := range []string{"", "file:///etc", "127.0.0.1:80", "http://", "http://[", "ftp://a/"} {
		if _, err := New(u, log.NewNopLogger()); err == nil {
			t.Errorf("%q is no URL for warnings", u)
		}
	}
}

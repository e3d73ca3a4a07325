// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// maxForms is four formats, gzipped or not.
const maxForms = 8

// acceptHeaders are many ways to ask for the few forms that there are.
func acceptHeaders() (all []string) {
	for _, form := range []string{
		"text/plain;version=0.0.4", "text/plain", "application/openmetrics-text;version=1.0.0", "application/openmetrics-text;version=0.0.1",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text",
	} {
		for _, escaping := range []string{"", ";escaping=allow-utf-8", ";escaping=underscores", ";escaping=dots", ";escaping=values"} {
			all = append(all, form+escaping, form+escaping+";q=0.5,*/*;q=0.1")
		}
	}
	return all
}

// However many ways there are to ask for them, a pass is written in few forms.
func TestAPassHasFewForms(t *testing.T) {
	src := &fakeSource{names: []string{"a_b"}, begun: make(chan struct{}, 1), hold: make(chan struct{})}
	h := newScrapes(Options{Source: src}, newSender())
	var all sync.WaitGroup
	var asked int
	bodies := make(chan string, 1000)
	for _, accept := range acceptHeaders() {
		for _, encoding := range []string{"", "gzip", "gzip;q=0.5", "identity"} {
			asked++
			all.Go(func() {
				w := get(h, "/metrics", "Accept", accept, "Accept-Encoding", encoding)
				bodies <- w.Header().Get("Content-Encoding") + w.Body.String()
			})
		}
	}
	<-src.begun
	p := h.shared.running
	until(t, "all requests have joined the pass", func() bool {
		h.shared.mu.Lock()
		defer h.shared.mu.Unlock()
		return p.readers == asked+1
	})
	close(src.hold)
	all.Wait()
	close(bodies)
	different := map[string]bool{}
	for body := range bodies {
		different[body] = true
	}
	if len(p.forms) > maxForms || len(different) < 4 {
		t.Errorf("%d forms were made for %d requests, want at most %d; %d different answers", len(p.forms), asked, maxForms, len(different))
	}
}

// A further form of a pass waits for a turn as another pass would: who asks for
// many costs no more of a CPU than who asks for one.
func TestFurtherFormsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rest = 10 * time.Second
		s := newShared(&work{takes: time.Second}, rest)
		var mu sync.Mutex
		var made []time.Time
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				a, err := s.answer(t.Context(), time.Time{}, fmt.Sprint(i%4), func(data string) *answer {
					mu.Lock()
					defer mu.Unlock()
					made = append(made, time.Now())
					return &answer{body: []byte(data)}
				})
				if err != nil || string(a.body) != "pass 1" {
					t.Errorf("request %d: %v, %v", i, a, err)
				}
			})
		}
		all.Wait()
		if len(made) != 4 {
			t.Fatalf("%d answers made for 4 keys", len(made))
		}
		slices.SortFunc(made, time.Time.Compare)
		for i := 1; i < len(made); i++ {
			if d := made[i].Sub(made[i-1]); d < rest {
				t.Errorf("form %d was made %v after the one before, want %v", i, d, rest)
			}
		}
	})
}

// A form that nobody waits for any more is not made, and a reader who leaves
// takes it from nobody else.
func TestFormsThatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(&work{}, 10*time.Second)
		var made, released atomic.Int64
		p := &pass[string]{readers: 1, forms: map[string]*form{}, release: func() { released.Add(1) }}
		render := func(string) *answer { made.Add(1); return &answer{} }
		first, alone := s.want(p, "first", render), s.want(p, "alone", render)
		one, other := s.want(p, "shared", render), s.want(p, "shared", render)
		s.unwant(alone)
		s.unwant(one)
		s.leave(p)
		<-first.ready
		<-other.ready
		<-time.After(time.Minute)
		if n := made.Load(); n != 2 || one != other {
			t.Errorf("%d forms were made, want two: nobody waits for the third", n)
		}
		select {
		case <-alone.ready:
			t.Error("the form that nobody waits for was made")
		default:
		}
		if n := released.Load(); n != 1 {
			t.Errorf("released %d times", n)
		}
	})
}

func TestAFormThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{}
		s := newShared(w, 0)
		_, err := s.answer(t.Context(), time.Time{}, "", func(string) *answer { panic("broken") })
		if err == nil || !strings.Contains(err.Error(), "panicked: broken") {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if n := w.released.Load(); n != 1 {
			t.Errorf("%d passes released", n)
		}
	})
}

// Requests for some families have passes in turn, as those for some collectors.
func TestNamesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rest, requests = 10 * time.Second, 5
		src := &fakeSource{names: []string{"a", "b", "c"}}
		h := handler(t, Options{Source: src, MinInterval: rest})
		begin := time.Now()
		var all sync.WaitGroup
		for i := range requests {
			all.Go(func() {
				path := "/metrics?name[]=a" + strings.Repeat("&name[]=b", i)
				if w := get(h, path); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "c 1") {
					t.Errorf("%s = %d %s", path, w.Code, w.Body)
				}
			})
		}
		all.Wait()
		if took := time.Since(begin); took < (requests-1)*rest {
			t.Errorf("%d requests for parts took %v, with rests of %v", requests, took, rest)
		}
	})
}

// Pages for people rest, too, though never as long as scrapes may.
func TestPagesRest(t *testing.T) {
	for interval, rest := range map[time.Duration]time.Duration{0: 0, 50 * time.Millisecond: 50 * time.Millisecond, time.Hour: pageRest} {
		synctest.Test(t, func(t *testing.T) {
			const requests = 20
			root := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) })
			h := handler(t, Options{Source: &fakeSource{}, Root: root, MinInterval: interval})
			begin := time.Now()
			var all sync.WaitGroup
			for range requests {
				all.Go(func() {
					if w := get(h, "/"); w.Code != http.StatusOK || w.Body.String() != "page" {
						t.Errorf("%d %s", w.Code, w.Body)
					}
				})
			}
			all.Wait()
			if took := time.Since(begin); took != (requests-1)*rest {
				t.Errorf("--web.min-interval=%v: %d pages took %v, want rests of %v", interval, requests, took, rest)
			}
		})
	}
}

// A header that takes long to read counts as none.
func TestLongHeadersAreNotRead(t *testing.T) {
	const metrics = "application/openmetrics-text;version=1.0.0"
	h := handler(t, Options{Source: &fakeSource{names: []string{"a"}}})
	for accept, want := range map[string]string{
		metrics + strings.Repeat(",a/b", 100):         "application/openmetrics-text",
		metrics + strings.Repeat(",a/b", maxAccept/4): "text/plain",
	} {
		w := get(h, "/metrics", "Accept", accept)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("%d bytes of Accept give %s, want %s", len(accept), got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	for range maxAccept { // as many headers of one value.
		r.Header.Add("Accept-Encoding", "a")
	}
	r.Header.Add("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Encoding"); got != "" {
		t.Errorf("after %d headers: %s", maxAccept, got)
	}
}

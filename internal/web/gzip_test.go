// SPDX-License-Identifier: Apache-2.0

package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTakesGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"":                           false,
		"gzip":                       true,
		"GZIP":                       true,
		"identity":                   false,
		"deflate, gzip;q=0.5":        true,
		"deflate, gzip; q=0":         false,
		"gzip;q=0, *":                false,
		"*":                          true,
		"*;q=0":                      false,
		"zstd;q=1.0,gzip;q=0.8, br ": true,
		"gzip;q=much":                false,
		"gzipped":                    false,
	} {
		if got := takesGzip([]string{header}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	if takesGzip(nil) || !takesGzip([]string{"br", "gzip"}) {
		t.Error("no header, or two of them")
	}
}

// TestSqueezer: a writer that is used again answers the next as the first.
func TestSqueezer(t *testing.T) {
	text := strings.Repeat("oom_node_total_bytes 1\n", 10000)
	h := (&squeezer{}).wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
	}))
	for range 3 {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		h.ServeHTTP(w, r)
		if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > len(text)/20 {
			t.Fatalf("%v, %d bytes", w.Header(), w.Body.Len())
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || string(got) != text {
			t.Errorf("%v, %d bytes, want %d", err, len(got), len(text))
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Header().Get("Content-Encoding") != "" || w.Body.String() != text || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("plain: %v, %d bytes", w.Header(), w.Body.Len())
	}
}

// TestSqueezerLeavesErrors: an error is text for everybody.
func TestSqueezerLeavesErrors(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	(&squeezer{}).wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no such collector", http.StatusBadRequest)
	})).ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || w.Header().Get("Content-Encoding") != "" || w.Body.String() != "no such collector\n" {
		t.Errorf("%d, %v, %q", w.Code, w.Header(), w.Body)
	}
}

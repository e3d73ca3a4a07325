// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestARuntimeThatHangsIsGivenUp asks a socket that takes connections and never
// answers, and one that is not there.
func TestARuntimeThatHangsIsGivenUp(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "cri.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, path := range []string{socket, socket + "-gone"} {
		c, closeIt, err := NewCRI(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		begun := time.Now()
		err = c.Stop(ctx, "0123")
		cancel()
		if took := time.Since(begun); err == nil || took > 5*time.Second {
			t.Errorf("%s: %v after %v", path, err, took)
		}
		if err := closeIt(); err != nil {
			t.Error(err)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/oom-exporter/oom_exporter/internal/guard"
)

// Signal implements guard.Signaler.
func (k *Kernel) Signal(victims []guard.Victim, sig syscall.Signal, onlyCaught bool, still func() error) (sent int, err error) {
	held, err := k.hold(victims)
	defer release(held)
	if err != nil {
		return 0, err
	}
	if err := still(); err != nil {
		return 0, err
	}
	for _, h := range held {
		if k.Off() {
			return sent, guard.ErrSwitched
		}
		if onlyCaught && !k.catches(h.PID, sig) {
			continue
		}
		switch err := k.signal(h, sig); {
		case err == nil:
			sent++
		case !errors.Is(err, guard.ErrGone):
			return sent, err
		}
	}
	return sent, nil
}

// catches tells whether a process has a handler for a signal: without one, the
// signal may end it.
func (k *Kernel) catches(pid int32, sig syscall.Signal) bool {
	b, err := os.ReadFile(filepath.Join(k.o.Procfs, strconv.Itoa(int(pid)), "status"))
	return err == nil && parseCaught(b, sig)
}

// parseCaught finds a signal, one of 1 to 64, in the line "SigCgt:" of
// /proc/PID/status, proc(5).
func parseCaught(status []byte, sig syscall.Signal) bool {
	if sig < 1 || sig > 64 {
		return false
	}
	for line := range bytes.Lines(status) {
		if mask, ok := bytes.CutPrefix(line, []byte("SigCgt:")); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(mask)), 16, 64)
			return err == nil && n&(1<<(sig-1)) != 0
		}
	}
	return false
}

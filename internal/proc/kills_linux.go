// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// killReader keeps /proc/vmstat open between looks.
type killReader struct {
	mu  sync.Mutex
	fd  int
	buf []byte
}

// OOMKills returns the oom_kill counter of /proc/vmstat, the machine's kills
// since boot; unset before 4.13. It is called every second, so the file stays
// open and is read only as far as needed.
func (f *FS) OOMKills() (oom.Amount, error) {
	k := &f.kills
	k.mu.Lock()
	defer k.mu.Unlock()
	defer runtime.KeepAlive(f.root)
	n, err := k.look(f.dir)
	if err != nil || !f.isProc { // a plain file may be replaced behind our back.
		k.close()
	}
	if err != nil {
		return oom.Amount{}, fmt.Errorf("read %s/vmstat: %w", f.path, err)
	}
	return n, nil
}

// look reads vmstat from its start until the counter is there.
func (k *killReader) look(dir int) (oom.Amount, error) {
	if k.buf == nil {
		k.buf = make([]byte, 32<<10) // 6 KiB in 6.18.
	}
	if k.fd < 0 {
		fd, err := open(dir, []byte("vmstat\x00"), unix.O_RDONLY)
		if err != nil {
			return oom.Amount{}, err
		}
		k.fd = fd
	}
	for size := 0; size < len(k.buf); {
		n, err := unix.Pread(k.fd, k.buf[size:], int64(size))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return oom.Amount{}, err
		}
		size += n
		if kills := parseVMStat(k.buf[:size], "oom_kill"); kills.IsSet() {
			return kills, nil
		}
	}
	return oom.Amount{}, nil
}

// close closes the file if it is open.
func (k *killReader) close() {
	if k.fd >= 0 {
		_ = unix.Close(k.fd)
		k.fd = -1
	}
}

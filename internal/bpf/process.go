// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Where the fields of struct process are, see src/processes.bpf.c.
const (
	atStartNS      = 0
	atSizes        = 8 // file, anon, swap, shmem.
	atTables       = 40
	atProcessPID   = 48
	atProcessAdj   = 52
	atProcessFlags = 54
	atProcessComm  = 56
	processBytes   = 72
)

const (
	oomSkip = 2 // of the flags.
	inVfork = 4
)

// tickNS is a clock tick, in which /proc/PID/stat counts: USER_HZ is 100 everywhere.
const tickNS = 10_000_000

// decodeProcess reads one process. The OOM killer passes over one whose memory it has
// reaped, and over one that has its parent's: their score is 0, and that of others is not
// known. last is what stood in its place in the pass before: names seldom change.
func decodeProcess(b []byte, pageSize uint64, last oom.Process) oom.Process {
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	size := func(at int) uint64 { return uint64(max(int64(u64(at)), 0)) * pageSize } // it is spread over CPUs and may be below.
	anon := size(atSizes + 8)
	p := oom.Process{
		PID: int32(binary.LittleEndian.Uint32(b[atProcessPID:])), Group: -1,
		Adj:   int16(binary.LittleEndian.Uint16(b[atProcessAdj:])),
		Exact: true, RSS: size(atSizes) + anon + size(atSizes+24), Anon: anon, Swap: size(atSizes + 16), PageTables: u64(atTables),
		Start: u64(atStartNS) / tickNS, Comm: last.Comm,
	}
	if comm, _, _ := bytes.Cut(b[atProcessComm:atProcessComm+commBytes], []byte{0}); string(comm) != last.Comm {
		p.Comm = string(comm)
	}
	p.Init = p.PID == 1
	if binary.LittleEndian.Uint16(b[atProcessFlags:])&(oomSkip|inVfork) != 0 {
		p.Score = oom.Of(0)
	}
	return p
}

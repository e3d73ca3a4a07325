// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Usage returns the memory that is charged to a cgroup, unset where that can't
// be read: it is gone, or has no memory controller.
func (s *Sampler) Usage(h oom.CgroupHandle) oom.Amount {
	m := &s.members[h]
	if !m.here {
		return oom.Amount{}
	}
	if m.usage < 0 {
		usage := s.number(m, h, s.usageFile())
		m.charged = m.charged || usage.IsSet()
		return usage
	}
	n, errno := readAgain(m.usage, s.buf[:openText])
	if errno != 0 {
		s.noteFailure(h, s.usageFile(), errno)
		return oom.Amount{}
	}
	m.charged = true
	return parseNumber(s.buf[:n])
}

// Usages reads the usage of each cgroup into dst.
func (s *Sampler) Usages(cgroups []oom.CgroupHandle, dst []oom.Amount) {
	for i, h := range cgroups {
		dst[i] = s.Usage(h)
	}
}

// Limit returns the limit of a cgroup.
func (s *Sampler) Limit(h oom.CgroupHandle) oom.Amount {
	m := &s.members[h]
	if !m.here {
		return oom.Amount{}
	}
	if s.version == 1 {
		b, ok := s.read(m, h, v1Limit)
		if !ok {
			return oom.Amount{}
		}
		return parseLimitV1(b, s.pageSize)
	}
	return s.number(m, h, v2Max)
}

// Sample reads all of a sample but its time and its number of processes. It is
// false where the cgroup is gone or has no memory controller.
func (s *Sampler) Sample(h oom.CgroupHandle, out *oom.Sample) bool {
	*out = oom.Sample{Usage: s.Usage(h)}
	if !out.Usage.IsSet() {
		return false
	}
	m := &s.members[h]
	out.Limit = s.Limit(h)
	var stat oom.Stat
	if s.version == 1 {
		if b, ok := s.read(m, h, v1Stat); ok {
			parseStatV1(b, &stat)
		}
		stat.Kernel = s.number(m, h, v1Kmem)
		out.LimitHits = s.number(m, h, v1Failcnt)
	} else {
		if b, ok := s.read(m, h, v2Stat); ok {
			parseStatV2(b, &stat)
		}
		b, ok := s.read(m, h, v2EventsLocal)
		if !ok {
			b, ok = s.read(m, h, v2Events)
		}
		if ok {
			out.LimitHits = parseEvents(b).Max
		}
		if b, ok := s.read(m, h, v2Pressure); ok {
			out.StalledMicros = parsePressure(b).StalledMicros
		}
	}
	out.Anon, out.Shmem, out.File, out.Kernel = stat.Anon, stat.Shmem, stat.File, stat.Kernel
	out.Unreclaimable = unreclaimable(out.Usage, &stat)
	return true
}

// unreclaimable is what the margins call unreclaimable, but does not consider
// pinned slab and protection.
func unreclaimable(usage oom.Amount, stat *oom.Stat) oom.Amount {
	n, ok := usage.Get()
	active, ok2 := stat.ActiveFile.Get()
	inactive, ok3 := stat.InactiveFile.Get()
	if !ok || !ok2 || !ok3 {
		return oom.Amount{}
	}
	return oom.Of(n - min(n, active+inactive+stat.SlabReclaimable.Or(0)))
}

// PIDs appends the ids of the processes in a cgroup and in those below it, but
// looks into no further cgroup once it has more ids than most says.
func (s *Sampler) PIDs(dst []int32, h oom.CgroupHandle, most int) []int32 {
	m := &s.members[h]
	if !m.here {
		return dst
	}
	dir, mine := m.dir, false
	if dir < 0 {
		fd, errno := openat(s.root, s.relative(m.Path)+"\x00", openDirFlags)
		if errno != 0 {
			s.noteErrno(errno)
			return dst
		}
		dir, mine = fd, true
	}
	dst, _ = readPIDs(dir, dst, s.buf)
	if mine {
		_ = unix.Close(dir)
	}
	for _, c := range m.children {
		if len(dst) > most {
			break
		}
		dst = s.PIDs(dst, c, most)
	}
	return dst
}

// number reads a file that holds one number.
func (s *Sampler) number(m *member, h oom.CgroupHandle, f file) oom.Amount {
	b, ok := s.read(m, h, f)
	if !ok {
		return oom.Amount{}
	}
	return parseNumber(b)
}

// read reads a file of a cgroup; ok is false where there is none.
func (s *Sampler) read(m *member, h oom.CgroupHandle, f file) (b []byte, ok bool) {
	if s.misses[f] >= absentAfter && files[f].optional {
		return nil, false
	}
	fd, errno := s.open(m, f)
	if errno == 0 {
		var n int
		n, errno = read(fd, s.buf)
		_ = unix.Close(fd)
		if errno == 0 {
			s.misses[f] = 0
			return s.buf[:n], true
		}
	}
	s.misses[f] = min(s.misses[f]+1, absentAfter)
	s.noteFailure(h, f, errno)
	return nil, false
}

// noteFailure notes that a file could not be read, and makes its cgroup a suspect where
// the error says that it is gone. A missing file does not, unless it is a usage that was
// there.
func (s *Sampler) noteFailure(h oom.CgroupHandle, f file, errno unix.Errno) {
	s.noteErrno(errno)
	m := &s.members[h]
	if errno == unix.ENODEV || errno == unix.ENOENT && f == s.usageFile() && m.charged {
		m.charged = false // a missing usage makes it a suspect only once.
		s.suspects = append(s.suspects, h)
	}
}

// unsafeString is b as a string, as long as b is not written to.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

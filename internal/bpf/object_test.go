// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func object(t *testing.T, content []byte) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestDecoderFitsTheObject holds the decoder's offsets against the struct in the
// object that is loaded.
func TestDecoderFitsTheObject(t *testing.T) {
	var victim *btf.Struct
	if err := object(t, victimsObject).Types.TypeByName("victim", &victim); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, m := range victim.Members {
		got[m.Name] = int(m.Offset.Bytes())
	}
	want := map[string]int{
		"boot_ns": atBootNS, "cgroup_id": atCgroupID, "total_vm": atTotalVM, "rss": atRSS, "page_tables": atPageTables,
		"pid": atPID, "tgid": atTGID, "uid": atUID, "trigger_pid": atTriggerPID, "adj": atAdj, "trigger_adj": atTriggerAdj,
		"flags": atFlags, "comm": atComm, "trigger_comm": atTriggerComm, "names": atNames,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("offsets (-decoder +object):\n%s", diff)
	}
}

// TestProcessFitsTheSource does the same for processes, whose struct is not in the object:
// the source asserts where its fields are.
func TestProcessFitsTheSource(t *testing.T) {
	source, err := os.ReadFile("src/processes.bpf.c")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range regexp.MustCompile(`\nis_at\((\w+), (\d+)\)`).FindAllSubmatch(source, -1) {
		got[string(m[1])] = string(m[2])
	}
	want := map[string]string{}
	for field, at := range map[string]int{
		"start_ns": atStartNS, "rss": atSizes, "page_tables": atTables, "tgid": atProcessPID, "adj": atProcessAdj, "flags": atProcessFlags,
		"comm": atProcessComm,
	} {
		want[field] = strconv.Itoa(at)
	}
	if diff := cmp.Diff(want, got); diff != "" || !bytes.Contains(source, []byte("sizeof(struct process) == "+strconv.Itoa(processBytes))) {
		t.Errorf("offsets (-decoder +source):\n%s", diff)
	}
}

// TestObject holds that the object has what OpenVictims asks it for, and nothing
// that names the machine that it was made on.
func TestObject(t *testing.T) {
	spec := object(t, victimsObject)
	for program, tracepoint := range tracepoints {
		p := spec.Programs[program]
		if p == nil || p.Type != ebpf.RawTracepoint || p.AttachTo != tracepoint {
			t.Errorf("program %s: %+v", program, p)
		}
	}
	if len(spec.Programs) != len(tracepoints) || spec.Maps["events"] == nil || spec.Variables["lost"] == nil {
		t.Errorf("programs %d, maps %v, variables %v", len(spec.Programs), spec.Maps, spec.Variables)
	}
	if list := object(t, processesObject).Programs; len(list) != 1 || list[programProcesses] == nil || list[programProcesses].AttachTo != "task" {
		t.Errorf("programs %v", list)
	}
	for _, content := range [][]byte{victimsObject, processesObject} {
		if bytes.Contains(content, []byte("/home/")) || bytes.Contains(content, []byte("/work/")) {
			t.Error("the object has a path of the machine that it was made on")
		}
		const small = 64 << 10
		if len(content) > small {
			t.Errorf("the object has %d bytes, more than %d", len(content), small)
		}
	}
}

func TestProgramsFor(t *testing.T) {
	data := btf.FuncParam{Type: &btf.Pointer{Target: (*btf.Void)(nil)}}
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	task := &btf.Pointer{Target: &btf.Struct{Name: "task_struct"}}
	tracepoint := func(params ...btf.FuncParam) *btf.Typedef {
		return &btf.Typedef{Name: "btf_trace_mark_victim", Type: &btf.Pointer{Target: &btf.FuncProto{Return: &btf.Void{}, Params: params}}}
	}
	for _, tt := range []struct {
		name string
		t    *btf.Typedef
		want []string
	}{
		{"6.1", tracepoint(data, btf.FuncParam{Name: "pid", Type: integer}), []string{programSignal, programPID}},
		{"a pid by another name", tracepoint(data, btf.FuncParam{Type: &btf.Typedef{Name: "pid_t", Type: integer}}), []string{programSignal, programPID}},
		{"6.18", tracepoint(data, btf.FuncParam{Name: "task", Type: task}, btf.FuncParam{Name: "uid", Type: integer}), []string{programTask}},
		{"another struct", tracepoint(data, btf.FuncParam{Type: &btf.Pointer{Target: &btf.Struct{Name: "mm_struct"}}}), nil},
		{"no argument", tracepoint(data), nil},
		{"no function", &btf.Typedef{Name: "x", Type: integer}, nil},
		{"no pointer to a function", &btf.Typedef{Name: "x", Type: task}, nil},
	} {
		got, err := programsFor(tt.t)
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestExplain(t *testing.T) {
	both := []string{"CAP_BPF", "CAP_PERFMON"}
	for _, tt := range []struct {
		name     string
		err      error
		missing  []string
		lockdown string
		says     string
		remedy   string
	}{
		{"no rights", fmt.Errorf("create map: %w", unix.EPERM), both, "", "CAP_BPF and CAP_PERFMON missing", grantRights},
		{"PERFMON forgotten", unix.EACCES, both[1:], "", "CAP_PERFMON missing", grantRights},
		{"lockdown", unix.EPERM, nil, "none integrity [confidentiality]\n", "lockdown is on", "boot with"},
		{"a harmless lockdown", unix.EPERM, nil, "none [integrity] confidentiality\n", "not permitted", allowCalls},
		{"seccomp", unix.EPERM, nil, "", "not permitted", allowCalls},
		{"no such call", unix.ENOSYS, nil, "", "not implemented", allowCalls},
		{"no BTF", &os.PathError{Op: "open", Path: "/sys/kernel/btf/vmlinux", Err: unix.ENOENT}, nil, "", "(BTF)", newKernel},
		{"no ring", fmt.Errorf("map events: %w", ebpf.ErrNotSupported), nil, "", "lacks", newKernel},
		{"no tracepoint", btf.ErrNotFound, nil, "", "lacks", newKernel},
		{"verifier", fmt.Errorf("load: %w", &ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"R0 invalid"}}), both, "", "verifier refuses", "report it"},
		{"anything else", errors.New("odd"), nil, "", "odd", newKernel},
	} {
		got := explain(tt.err, tt.missing, tt.lockdown)
		if !errors.Is(got, tt.err) || !strings.Contains(got.Err.Error(), tt.says) || !strings.Contains(got.Remedy, tt.remedy) {
			t.Errorf("%s: %v; remedy %q", tt.name, got.Err, got.Remedy)
		}
	}
}

// TestOpenWithoutTypes is on a kernel that does not describe itself, or not so that
// it can be understood.
func TestOpenWithoutTypes(t *testing.T) {
	var why *UnavailableError
	missing := filepath.Join(t.TempDir(), "vmlinux")
	_, err := OpenVictims(Options{Kernel: NewKernel(missing)})
	if !errors.As(err, &why) || !errors.Is(err, os.ErrNotExist) || why.Remedy != newKernel {
		t.Errorf("error %v", err)
	}
	broken := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(broken, []byte("no types"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenVictims(Options{Kernel: NewKernel(broken)}); !errors.As(err, &why) {
		t.Errorf("error %v", err)
	}
}

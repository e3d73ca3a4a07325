// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// The programs of src/victims.bpf.c.
const (
	programTask   = "victim_task" // where mark_victim passes the task.
	programPID    = "victim_pid"  // where it passes only the pid;
	programSignal = "signal_sent" // then remembers which task was sent SIGKILL.
)

// programsFor returns the programs that fit the arguments of the tracepoint
// mark_victim, in the order to attach them in. The kernel's types decide, not its
// version, since stable kernels have changed the arguments, too.
func programsFor(tracepoint *btf.Typedef) ([]string, error) {
	pointer, ok := tracepoint.Type.(*btf.Pointer)
	if !ok {
		return nil, fmt.Errorf("%s is a %T", tracepoint.Name, tracepoint.Type)
	}
	function, ok := pointer.Target.(*btf.FuncProto)
	if !ok || len(function.Params) < 2 {
		return nil, fmt.Errorf("%s points to %v", tracepoint.Name, pointer.Target)
	}
	// The first parameter is the tracepoint's own.
	switch argument := btf.UnderlyingType(function.Params[1].Type).(type) {
	case *btf.Int:
		return []string{programSignal, programPID}, nil
	case *btf.Pointer:
		if name := btf.UnderlyingType(argument.Target).TypeName(); name == "task_struct" {
			return []string{programTask}, nil
		}
	}
	return nil, fmt.Errorf("the victim of %s is a %v", tracepoint.Name, function.Params[1].Type)
}

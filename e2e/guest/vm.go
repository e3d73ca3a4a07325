// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guest

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"testing"
	"time"
)

// URL is the base URL of the guest's forwarded port.
func (vm *VM) URL() string { return vm.url }

// Console is what the guest's kernel and script have printed so far.
func (vm *VM) Console() string { return vm.Output() }

// listen passes the guest's lines on; it ends with the guest.
func (vm *VM) listen() {
	defer close(vm.done)
	scanner := bufio.NewScanner(vm.control)
	for scanner.Scan() {
		vm.lines <- strings.TrimSpace(scanner.Text())
	}
}

// Await waits for the next line that the script says and returns what follows
// the word that it must begin with.
func (vm *VM) Await(t testing.TB, word string) string {
	t.Helper()
	line, err := vm.next()
	if err != nil {
		t.Fatalf("wait for the guest to say %q: %v", word, err)
	}
	rest, ok := strings.CutPrefix(line, word)
	if !ok {
		t.Fatalf("the guest said %q, not %q", line, word)
	}
	return strings.TrimSpace(rest)
}

func (vm *VM) next() (string, error) {
	select {
	case line := <-vm.lines:
		return line, nil
	default:
	}
	select {
	case line := <-vm.lines:
		return line, nil
	case <-vm.done:
		return "", errors.New("the guest has ended")
	case <-time.After(vm.left()):
		return "", fmt.Errorf("nothing after %v", vm.timeout)
	}
}

func (vm *VM) left() time.Duration { return max(0, vm.timeout-time.Since(vm.started)) }

// Tell sends the word that the script awaits.
func (vm *VM) Tell(t testing.TB, word string) {
	t.Helper()
	if _, err := fmt.Fprintln(vm.control, word); err != nil {
		t.Fatalf("tell the guest %q: %v", word, err)
	}
}

// Wait waits until the guest has powered off and fails the test if its script
// failed. It logs how long the guest took.
func (vm *VM) Wait(t testing.TB) {
	t.Helper()
	status := vm.Process.Wait(t, vm.left())
	if status.ExitStatus() != 0 {
		t.Fatalf("qemu ended with %d", status.ExitStatus())
	}
	if got := strings.TrimSpace(vm.File(t, "status")); got != "0" {
		t.Fatalf("the guest's script ended with %s", got)
	}
	t.Logf("guest: %.1f s from start to end", time.Since(vm.started).Seconds())
}

// File returns a file that the script left in /out; the guest must have ended.
func (vm *VM) File(t testing.TB, name string) string {
	t.Helper()
	text, err := vm.file(name)
	if err != nil {
		t.Fatalf("the guest left no file %s: %v", name, err)
	}
	return text
}

func (vm *VM) file(name string) (string, error) {
	f, err := os.Open(vm.disk)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for archive := tar.NewReader(f); ; {
		head, err := archive.Next()
		if err != nil {
			return "", err
		}
		if path.Clean(head.Name) != path.Clean(name) {
			continue
		}
		b, err := io.ReadAll(archive)
		return string(b), err
	}
}

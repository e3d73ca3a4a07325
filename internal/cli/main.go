// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// Exit codes, as shells and service managers read them.
const (
	exitFailure = 1
	exitUsage   = 2
)

// UsageError is a mistake on the command line.
type UsageError struct{ Err error }

// Error implements error.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns what was wrong.
func (e UsageError) Unwrap() error { return e.Err }

// ExitError ends the program with an exit code and without a message: everything
// has been said.
type ExitError int

// Error implements error.
func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// JSONError ends the program with an error that is written as a line of a JSON log.
type JSONError struct{ Err error }

// Error implements error.
func (e JSONError) Error() string { return e.Err.Error() }

// Unwrap returns what was wrong.
func (e JSONError) Unwrap() error { return e.Err }

// Main runs a program until it is done, or INT or TERM ends its context. It
// prints the error, if there is one, as one line and returns the exit code. A
// binary to which the linker gave no version has the module's.
func Main(name string, run func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	setVersion()
	err := run(ctx)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[ExitError](err); ok {
		return int(code)
	}
	writeError(os.Stderr, name, err)
	if _, ok := errors.AsType[UsageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// writeError writes an error as one line, in the form of the log.
func writeError(w io.Writer, name string, err error) {
	if _, ok := errors.AsType[JSONError](err); ok {
		logger := log.With(log.NewJSONLogger(w), "time", log.DefaultTimestampUTC)
		_ = level.Error(logger).Log("msg", name+" ends with an error", "err", err)
		return
	}
	fmt.Fprintf(w, "%s: %v\n", name, err)
}

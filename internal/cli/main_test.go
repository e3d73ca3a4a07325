// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

func TestMainReturnsTheExitCode(t *testing.T) {
	wrong := UsageError{errors.New("--n=x: must be a number")}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("no memory cgroups"), exitFailure},
		{wrong, exitUsage},
		{ExitError(4), 4},
		{JSONError{wrong}, exitUsage},
		{fmt.Errorf("start: %w", wrong), exitUsage},
	} {
		if got := Main("test", func(context.Context) error { return c.err }); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestErrorsHaveTheFormOfTheLog(t *testing.T) {
	var text, line bytes.Buffer
	err := errors.New("no \"memory\" cgroups")
	writeError(&text, "test", err)
	if text.String() != "test: no \"memory\" cgroups\n" {
		t.Errorf("text: %q", text.String())
	}
	writeError(&line, "test", JSONError{err})
	var got map[string]string
	if json.Unmarshal(line.Bytes(), &got) != nil || got["level"] != "error" || got["err"] != err.Error() || bytes.Count(line.Bytes(), []byte("\n")) != 1 {
		t.Errorf("JSON: %q", line.String())
	}
}

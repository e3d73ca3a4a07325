// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
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
		{fmt.Errorf("start: %w", wrong), exitUsage},
	} {
		if got := Main("test", func(context.Context) error { return c.err }); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

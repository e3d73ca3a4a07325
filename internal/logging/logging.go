// SPDX-License-Identifier: Apache-2.0

// Package logging makes the go-kit logger of the whole program and its slog
// view, which exporter-toolkit wants. Level and format are decided here only.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	sloggokit "github.com/tjhop/slog-gokit"
)

// Levels lists the levels that New takes.
func Levels() []string { return []string{"debug", "info", "warn", "error"} }

// Formats lists the formats that New takes.
func Formats() []string { return []string{"logfmt", "json"} }

// New returns a logger that writes lines of the given format to w, and its
// slog view. Both filter by the same level.
func New(w io.Writer, lvl, format string) (log.Logger, *slog.Logger, error) {
	var bare log.Logger
	switch format {
	case "logfmt":
		bare = log.NewLogfmtLogger(log.NewSyncWriter(w))
	case "json":
		bare = log.NewJSONLogger(log.NewSyncWriter(w))
	default:
		return nil, nil, fmt.Errorf("unknown log format %q: use %s", format, strings.Join(Formats(), " or "))
	}
	allowed, err := level.Parse(lvl)
	if err != nil {
		return nil, nil, fmt.Errorf("unknown log level %q: use %s", lvl, strings.Join(Levels(), ", "))
	}
	sink := level.NewFilter(bare, level.Allow(allowed))
	// slog-gokit adds time and caller by itself, so it gets the sink without them.
	view := slog.New(sloggokit.NewGoKitHandler(sink, slog.LevelDebug))
	return log.With(sink, "time", log.DefaultTimestampUTC, "caller", log.DefaultCaller), view, nil
}

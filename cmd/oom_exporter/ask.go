// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/report"
)

// defaultURL is where an exporter of this host listens by default.
const defaultURL = "http://localhost:10137"

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// ask gets a document from a running exporter.
func ask(ctx context.Context, base, path string, query url.Values) (report.Document, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return report.Document{}, cli.UsageError{Err: fmt.Errorf("--url=%s: must be the address of an exporter, like %s", base, defaultURL)}
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return report.Document{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return report.Document{}, fmt.Errorf("no exporter answers at %s: start it with oom_exporter serve, or give its address with --url", base)
	case err != nil:
		return report.Document{}, fmt.Errorf("ask the exporter: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return report.Document{}, refused(resp, u)
	}
	doc, err := report.Decode(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return report.Document{}, fmt.Errorf("GET %s: %w", u, err)
	}
	return doc, nil
}

// refused returns the error for a response that is not the document asked for.
func refused(resp *http.Response, u *url.URL) error {
	const enough = 500
	said, _ := io.ReadAll(io.LimitReader(resp.Body, enough))
	line, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	if resp.StatusCode == http.StatusNotFound && line != "" && line != "404 page not found" {
		return errors.New(report.Clean(line, enough))
	}
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("GET %s: %s: this exporter runs without the event collector, or is older", u, resp.Status)
	}
	return fmt.Errorf("ask the exporter: GET %s: %s", u, resp.Status)
}

// why says why one kill came about.
func why(ctx context.Context, c *config, std streams) error {
	doc, err := ask(ctx, c.askURL, whyPath, url.Values{"kill": {c.whyKill}})
	if err != nil {
		return err
	}
	if c.format == "json" {
		return report.JSON(std.out, doc)
	}
	if len(doc.Kills) == 0 {
		return errors.New("the exporter's answer has no kill")
	}
	return report.Why(std.out, &doc.Kills[0], report.WhyOptions{Width: terminalWidth(std.out), Color: c.color(std.out)})
}

// terminalWidth returns the width of a terminal in columns; 0 if w is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// advise says what the limits of the node's containers should be.
func advise(ctx context.Context, c *config, std streams) error {
	doc, err := ask(ctx, c.askURL, advicePath, nil)
	if err != nil {
		return err
	}
	if c.format == "json" {
		return report.JSON(std.out, doc)
	}
	if len(doc.Advice) == 0 {
		_, err := fmt.Fprintln(std.out, "No advice yet: it needs a recorded kill, or 24 h of usage of a container with a limit.")
		return err
	}
	return report.AdviceTable(std.out, doc.Advice)
}

// SPDX-License-Identifier: Apache-2.0

package page

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func queryEscape(s string) string { return url.QueryEscape(s) }

// inOrder holds that the texts stand in the body one after the other.
func inOrder(t *testing.T, body string, texts ...string) {
	t.Helper()
	rest := body
	for _, s := range texts {
		_, after, found := strings.Cut(rest, s)
		if !found {
			t.Errorf("%q is not there, or not in its place", s)
			return
		}
		rest = after
	}
}

var href = regexp.MustCompile(`<a [^>]*href="([^"]*)"`)

// hrefs are the links of a page, but for those within it.
func hrefs(body string) (list []string) {
	for _, m := range href.FindAllStringSubmatch(body, -1) {
		if link := strings.ReplaceAll(m[1], "&amp;", "&"); !strings.HasPrefix(link, "#") {
			list = append(list, link)
		}
	}
	return list
}

// elements and attributes are all that the pages are made of. None of them
// runs anything or loads anything but the style sheet.
var (
	elements = strings.Fields(`html head meta title link body a header p strong nav ul li main footer h1 h2 h3 section dl div dt dd span svg rect
		line text polygon polyline table thead tbody tr th td time form label input button figure details summary pre`)
	attributes = strings.Fields(`lang charset name content rel href class id for type value autocomplete action method scope data-label datetime title
		aria-label aria-labelledby aria-hidden role tabindex viewBox preserveAspectRatio width height x y x1 x2 y1 y2 dx dy points`)
)

// checkMarkup holds that a page is well formed, is made of nothing but the
// allowed elements and attributes, and has no text that can't be shown.
func checkMarkup(t *testing.T, name, body string) {
	t.Helper()
	if !utf8.ValidString(body) {
		t.Errorf("%s: not UTF-8", name)
	}
	for _, r := range body {
		if r != '\n' && r != ' ' && !unicode.IsPrint(r) {
			t.Errorf("%s: %U is shown", name, r)
			break
		}
	}
	walk(t, name, body, func(e xml.StartElement, _ []string) {
		if !slices.Contains(elements, e.Name.Local) {
			t.Errorf("%s: element %s", name, e.Name.Local)
		}
		for _, a := range e.Attr {
			if !slices.Contains(attributes, a.Name.Local) {
				t.Errorf("%s: attribute %s of %s", name, a.Name.Local, e.Name.Local)
			}
			if a.Name.Local != "href" || e.Name.Local == "link" {
				continue
			}
			if u, err := url.Parse(a.Value); err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(a.Value, "//") {
				t.Errorf("%s: a link to %q", name, a.Value)
			}
		}
	})
}

// walk hands each element with its ancestors to see. The pages are written so
// that they are XML, too.
func walk(t *testing.T, name, body string, see func(e xml.StartElement, above []string)) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(body, "<!DOCTYPE html>\n")))
	d.Entity = xml.HTMLEntity
	var above []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s: not well formed: %v", name, err)
			return
		}
		switch e := token.(type) {
		case xml.StartElement:
			see(e, above)
			above = append(above, e.Name.Local)
		case xml.EndElement:
			above = above[:len(above)-1]
		}
	}
	if len(above) > 0 {
		t.Errorf("%s: %v is not closed", name, above)
	}
}

func attr(e *xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// TestAccessibility holds what does not need a browser: one main heading,
// headings that skip no level, landmarks, labels, header cells with a scope,
// ids that are there once, and a language.
func TestAccessibility(t *testing.T) {
	h := newScene().handler(t)
	for name, path := range addresses {
		_, _, body := get(t, h, path)
		checkMarkup(t, name, body)
		ids, wants, count := map[string]int{}, []string{}, map[string]int{}
		level := 0
		walk(t, name, body, func(e xml.StartElement, above []string) {
			tag := e.Name.Local
			count[tag]++
			if id := attr(&e, "id"); id != "" {
				ids[id]++
			}
			wants = append(wants, attr(&e, "aria-labelledby"), attr(&e, "for"))
			switch tag {
			case "html":
				if attr(&e, "lang") != "en" {
					t.Errorf("%s: no language", name)
				}
			case "h1", "h2", "h3":
				next := int(tag[1] - '0')
				if next > level+1 {
					t.Errorf("%s: %s after h%d", name, tag, level)
				}
				level = next
			case "th":
				if attr(&e, "scope") == "" {
					t.Errorf("%s: a header cell without a scope", name)
				}
			case "nav", "figure":
				if attr(&e, "aria-label") == "" {
					t.Errorf("%s: %s without a label", name, tag)
				}
			case "svg":
				if attr(&e, "aria-hidden") != "true" && !slices.Contains(above, "p") {
					t.Errorf("%s: a drawing that is read out", name)
				}
			case "section":
				if attr(&e, "aria-labelledby") == "" {
					t.Errorf("%s: a section without a heading", name)
				}
			}
		})
		if count["h1"] != 1 || count["main"] != 1 || count["header"] != 1 || count["footer"] != 1 || count["title"] != 1 {
			t.Errorf("%s: %v", name, count)
		}
		for id, n := range ids {
			if n > 1 {
				t.Errorf("%s: id %s %d times", name, id, n)
			}
		}
		for _, id := range wants {
			if id != "" && ids[id] == 0 {
				t.Errorf("%s: nothing has the id %s", name, id)
			}
		}
	}
}

var variable = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6})`)

// TestContrast holds the colours of both schemes against WCAG 2.2 AA: 4.5 for
// text, 3 for what is drawn.
func TestContrast(t *testing.T) {
	light, dark, found := strings.Cut(string(style), "prefers-color-scheme: dark")
	if !found {
		t.Fatal("no dark scheme")
	}
	for scheme, css := range map[string]string{"light": light, "dark": dark[:strings.Index(dark, "* {")]} {
		colors := map[string]float64{}
		for _, m := range variable.FindAllStringSubmatch(css, -1) {
			colors[m[1]] = luminance(m[2])
		}
		for _, pair := range []struct {
			on, text string
			least    float64
		}{
			{"ground", "text", 4.5},
			{"ground", "soft", 4.5},
			{"ground", "link", 4.5},
			{"ground", "bad", 4.5},
			{"ground", "warn", 4.5},
			{"ground", "ok", 4.5},
			{"card", "text", 4.5},
			{"card", "soft", 4.5},
			{"card", "link", 4.5},
			{"bad-ground", "bad", 4.5},
			{"warn-ground", "warn", 4.5},
			{"ok-ground", "ok", 4.5},
			{"track", "fill-ok", 3},
			{"track", "fill-bad", 3},
			{"ground", "fill-warn", 3},
			{"ground", "fill-bad", 3},
			{"held", "link", 3},
		} {
			if c := contrast(colors[pair.on], colors[pair.text]); c < pair.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", scheme, pair.text, pair.on, c, pair.least)
			}
		}
	}
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }

func luminance(hex string) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			panic(fmt.Sprint("colour ", hex))
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// TestTheStyleLoadsNothing: no font, image or sheet of another place.
func TestTheStyleLoadsNothing(t *testing.T) {
	for _, word := range []string{"url(", "@import", "expression", "http"} {
		if strings.Contains(string(style), word) {
			t.Errorf("the style sheet has %q", word)
		}
	}
}

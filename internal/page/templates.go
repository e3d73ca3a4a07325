// SPDX-License-Identifier: Apache-2.0

package page

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed html
var files embed.FS

//go:embed style.css
var style []byte

// stylePath is where the one style sheet is.
const stylePath = "/page.css"

// templates are the pages by name, each with the frame around it.
type templates map[string]*template.Template

func parseTemplates() (templates, error) {
	base, err := template.New("").Funcs(template.FuncMap{"at": at}).ParseFS(files, "html/frame.html", "html/parts.html")
	if err != nil {
		return nil, fmt.Errorf("parse the pages' frame: %w", err)
	}
	all := templates{}
	for _, name := range []string{"node", "workloads", "workload", "kills", "kill", "doctor", "missing"} {
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(files, "html/"+name+".html")
		}
		if err != nil {
			return nil, fmt.Errorf("parse the page %s: %w", name, err)
		}
		all[name] = t.Lookup("frame.html")
	}
	return all, nil
}

// located is a part of a page with the way to the root, which links need.
type located struct {
	Root string
	V    any
}

func at(root string, v any) located { return located{root, v} }

// serveStyle serves the style sheet. It is the same for as long as the program
// runs, but a browser asks again after an upgrade.
func serveStyle(w http.ResponseWriter, _ *http.Request) {
	protect(w.Header())
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(style)
}

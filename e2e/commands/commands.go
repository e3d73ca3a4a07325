// SPDX-License-Identifier: Apache-2.0

// Package commands takes the commands out of README.md and the pages of
// docs/install, so that tests run them word for word, and knows of each whether
// one does.
package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Block is a fenced block of a Markdown page.
type Block struct {
	Page string // from the repository's root.
	Text string
}

// First is the block's first line, by which it is found.
func (b Block) First() string {
	first, _, _ := strings.Cut(b.Text, "\n")
	return first
}

// Commands are the command lines of a block as a shell takes them, those over
// several lines in one piece. Where some have a prompt, the rest is output.
func (b Block) Commands() []string {
	var list []string
	prompted, open := strings.HasPrefix(b.Text, "$ ") || strings.Contains(b.Text, "\n$ "), false
	for line := range strings.Lines(b.Text) {
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "$ "); ok {
			line = text
		} else if prompted && !open {
			continue
		}
		if open {
			list[len(list)-1] += "\n" + line
		} else if strings.TrimSpace(line) != "" {
			list = append(list, line)
		}
		open = strings.HasSuffix(line, `\`)
	}
	return list
}

// Blocks returns the fenced blocks of a page.
func Blocks(page, markdown string) []Block {
	var list []Block
	inside := false
	for line := range strings.Lines(markdown) {
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && inside:
			inside = false
		case fence:
			inside = true
			list = append(list, Block{Page: page})
		case inside:
			list[len(list)-1].Text += line
		}
	}
	return list
}

// Pages are the pages whose commands people copy.
func Pages(root string) ([]string, error) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/install/*.md"))
	for i := range pages {
		pages[i], _ = filepath.Rel(root, pages[i])
	}
	return append(pages, "README.md"), err
}

// Read returns the fenced blocks of a page of the repository.
func Read(root, page string) ([]Block, error) {
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		return nil, err
	}
	return Blocks(page, string(b)), nil
}

// Find returns the command of a page that begins with the text, as the page has it.
func Find(root, page, begin string) (string, error) {
	blocks, err := Read(root, page)
	if err != nil {
		return "", err
	}
	for _, b := range blocks {
		for _, command := range b.Commands() {
			if strings.HasPrefix(command, begin) {
				return command, nil
			}
		}
	}
	return "", fmt.Errorf("%s has no command %s", page, begin)
}

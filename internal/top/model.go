// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// model is the state of the live view.
type model struct {
	source   Source
	interval time.Duration
	frame    Frame
	err      error
	o        Options
	typing   bool // keys go into the filter.
	paused   bool
	help     bool          // the keys are shown.
	details  *oom.Workload // the container that is shown; nil: the list.
}

// frameMsg is a new look at the host.
type frameMsg struct {
	frame Frame
	err   error
}

// tickMsg says that it is time for the next look.
type tickMsg struct{}

// firstWidth is the width until the terminal reports its own.
const firstWidth = 80

// Keys are the keys of the live view and what they do.
func Keys() [][2]string {
	return [][2]string{
		{"tab, 1, 2, 3", "Next pane; containers, processes, protection."},
		{"up, down, k, j", "Choose a row."},
		{"pgup, pgdown", "A page up or down."},
		{"home, end, g, G", "First or last row."},
		{"enter", "Details of the chosen container; again for the list."},
		{"s", "Sort containers by margin ratio, margin, unreclaimable, name."},
		{"r", "Reverse the order."},
		{"/", "Show only what has a text in its name; enter keeps it, esc drops it."},
		{"space", "Pause."},
		{"?", "These keys."},
		{"q, esc", "Quit; esc first closes what is open."},
	}
}

// Run shows the host until the user quits or the context ends.
func Run(ctx context.Context, source Source, in io.Reader, out io.Writer, interval time.Duration, color bool) error {
	m := model{source: source, interval: interval, o: Options{Color: color, Width: firstWidth}}
	m.frame, m.err = source()
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out)).Run()
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return m.tick() }

func (m model) tick() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return tickMsg{} })
}

// look makes a frame outside the event loop: keys stay quick on a slow host.
func (m model) look() tea.Cmd {
	return func() tea.Msg {
		f, err := m.source()
		return frameMsg{f, err}
	}
}

// Update implements tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.o.Width, m.o.Height = msg.Width, msg.Height
	case tickMsg:
		if m.paused {
			return m, m.tick()
		}
		return m, m.look()
	case frameMsg:
		m.frame, m.err = msg.frame, msg.err
		return m, m.tick()
	case tea.KeyPressMsg:
		if m.typing {
			return m.typed(msg), nil
		}
		return m.key(msg.String())
	}
	return m, nil
}

// typed edits the filter.
func (m model) typed(k tea.KeyPressMsg) model {
	switch k.String() {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.o.Filter = false, ""
	case "backspace":
		if r := []rune(m.o.Filter); len(r) > 0 {
			m.o.Filter = string(r[:len(r)-1])
		}
	default:
		m.o.Filter += k.Text
	}
	m.o.Cursor = 0
	return m
}

// key does what a key stands for.
func (m model) key(k string) (tea.Model, tea.Cmd) {
	switch k {
	case "q", "ctrl+c":
		return m, tea.Quit
	case "esc":
		if !m.help && m.details == nil {
			return m, tea.Quit
		}
		m.help, m.details = false, nil
	case "?":
		m.help = !m.help
	case "enter":
		m.toggleDetails()
	case "tab":
		m.o.Pane, m.o.Cursor, m.details = (m.o.Pane+1)%panes, 0, nil
	case "1", "2", "3":
		m.o.Pane, m.o.Cursor, m.details = Pane(k[0]-'1'), 0, nil
	case "s":
		m.o.Order, m.o.Cursor = (m.o.Order+1)%orders, 0
	case "r":
		m.o.Reverse, m.o.Cursor = !m.o.Reverse, 0
	case "/":
		m.typing = true
	case "space":
		m.paused = !m.paused
	default:
		m.move(k)
	}
	return m, nil
}

// move moves the cursor.
func (m *model) move(k string) {
	screen := max(1, m.o.Height-8)
	switch k {
	case "down", "j":
		m.o.Cursor++
	case "up", "k":
		m.o.Cursor--
	case "pgdown":
		m.o.Cursor += screen
	case "pgup":
		m.o.Cursor -= screen
	case "home", "g":
		m.o.Cursor = 0
	case "end", "G":
		m.o.Cursor = m.rows() - 1
	}
	m.o.Cursor = max(0, min(m.o.Cursor, m.rows()-1))
}

// rows is how many the pane has.
func (m *model) rows() int {
	switch m.o.Pane {
	case Processes:
		return len(m.frame.processes(m.o))
	case Protection:
		return len(m.frame.protected(m.o))
	default:
		return len(m.frame.containers(m.o))
	}
}

// toggleDetails opens the chosen container, or closes what is open.
func (m *model) toggleDetails() {
	if m.details != nil {
		m.details = nil
		return
	}
	var list []*oom.Row
	switch m.o.Pane {
	case Containers:
		list = m.frame.containers(m.o)
	case Protection:
		list = m.frame.protected(m.o)
	}
	if m.o.Cursor < len(list) {
		m.details = &list[m.o.Cursor].Workload
	}
}

// View implements tea.Model.
func (m model) View() tea.View {
	o := m.o
	o.Status = m.status()
	content := ""
	switch {
	case m.help:
		content = renderKeys(o)
	case m.details != nil:
		content = renderDetails(&m.frame, *m.details, o)
	default:
		content = Render(&m.frame, o)
	}
	v := tea.NewView(content)
	v.AltScreen = true
	return v
}

func (m model) status() string {
	switch {
	case m.typing:
		return "/" + m.o.Filter + "_   enter: keep  esc: drop"
	case m.err != nil:
		return "incomplete: " + m.err.Error()
	}
	if m.help || m.details != nil {
		return "esc: back  q: quit"
	}
	text := m.o.Pane.String()
	if m.o.Pane == Containers {
		text += " by " + m.o.Order.String()
	}
	if m.o.Reverse {
		text += ", reversed"
	}
	if n := m.rows(); n > 0 {
		text += fmt.Sprintf(", %d of %d", min(m.o.Cursor, n-1)+1, n)
	}
	text += filtered(m.o) + "  ?: keys  q: quit"
	if m.paused {
		text = "PAUSED  " + text
	}
	return text
}

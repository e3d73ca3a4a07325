// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// The kernel's buffers for a connection, which are charged to a cgroup.
	sendBuffer    = 64 << 10
	receiveBuffer = 16 << 10
	// crowdGap is the least time between two warnings of too many connections.
	crowdGap = time.Minute
)

// connections bounds the open connections of a server. A new one is always
// accepted; to make room, one is closed: of the address that has the most, an idle
// one before one that has sent no request, that before one being answered, and
// among equals the one longest in its state.
type connections struct {
	most    int
	crowded func() // called when one is closed for another, at most once in crowdGap.

	mu    sync.Mutex
	open  map[net.Conn]*connection
	count map[string]int // by address.
	told  time.Time
}

type connection struct {
	host  string
	state http.ConnState
	since time.Time
}

func newConnections(most int, crowded func()) *connections {
	return &connections{most: most, crowded: crowded, open: map[net.Conn]*connection{}, count: map[string]int{}}
}

// track is a server's ConnState.
func (cs *connections) track(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch state {
	case http.StateNew:
		shrinkBuffers(c)
		for len(cs.open) >= cs.most {
			cs.closeOne()
		}
		host, _, err := net.SplitHostPort(c.RemoteAddr().String())
		if err != nil {
			host = c.RemoteAddr().String()
		}
		cs.open[c] = &connection{host: host, state: state, since: time.Now()}
		cs.count[host]++
	case http.StateClosed, http.StateHijacked:
		cs.remove(c)
	default:
		if info := cs.open[c]; info != nil {
			info.state, info.since = state, time.Now()
		}
	}
}

// closeOne makes room.
func (cs *connections) closeOne() {
	var worst net.Conn
	for c := range cs.open {
		if worst == nil || cs.goesBefore(cs.open[c], cs.open[worst]) {
			worst = c
		}
	}
	cs.remove(worst)
	_ = transport(worst).Close()
	if now := time.Now(); now.Sub(cs.told) >= crowdGap {
		cs.told = now
		cs.crowded()
	}
}

// goesBefore tells whether a is closed rather than b.
func (cs *connections) goesBefore(a, b *connection) bool {
	if n, m := cs.count[a.host], cs.count[b.host]; n != m {
		return n > m
	}
	if a.state != b.state {
		return useOf(a.state) < useOf(b.state)
	}
	return a.since.Before(b.since)
}

func useOf(state http.ConnState) int {
	switch state {
	case http.StateIdle:
		return 0
	case http.StateNew:
		return 1
	default:
		return 2
	}
}

func (cs *connections) remove(c net.Conn) {
	info := cs.open[c]
	if info == nil {
		return
	}
	delete(cs.open, c)
	if cs.count[info.host]--; cs.count[info.host] == 0 {
		delete(cs.count, info.host)
	}
}

// transport is what is below TLS: closing it does not wait for the client.
func transport(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}

// shrinkBuffers keeps a client that does not read from filling kernel memory.
func shrinkBuffers(c net.Conn) {
	if t, ok := transport(c).(*net.TCPConn); ok {
		_ = t.SetWriteBuffer(sendBuffer) // else it is as large as the kernel lets it grow.
		_ = t.SetReadBuffer(receiveBuffer)
	}
}

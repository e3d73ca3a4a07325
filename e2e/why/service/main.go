// SPDX-License-Identifier: Apache-2.0

// Command service is a web service with a common fault: it remembers the session
// of each request in a map, and forgets none.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
)

// sessionSize is what one session holds.
const sessionSize = 16 << 10

type sessions struct {
	mu   sync.Mutex
	byID map[int][]byte
}

func (s *sessions) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	content := make([]byte, sessionSize)
	for i := range content {
		content[i] = byte(i)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[len(s.byID)] = content
	_, _ = fmt.Fprintln(w, len(s.byID))
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(http.Serve(l, &sessions{byID: map[int][]byte{}}))
}

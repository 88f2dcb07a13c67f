package main

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Below the range that Linux takes ports of outgoing connections and of "port 0" from: a server that is restarted
// finds its port still free.
const (
	lowestPort  = 20000
	highestPort = 32000
)

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	for range 100 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d", lowestPort, highestPort)
}

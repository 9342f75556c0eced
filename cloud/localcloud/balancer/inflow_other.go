//go:build !unix

package balancer

import (
	"net"
	"sync/atomic"
)

// inflow is a connection that is waited for.
type inflow struct {
	raw   net.Conn
	moved atomic.Bool // something was written since it was last asked
}

// Read implements io.Reader.
func (i *inflow) Read(p []byte) (int, error) { return i.raw.Read(p) }

// Write implements io.Writer.
func (i *inflow) Write(p []byte) (int, error) {
	i.moved.Store(true)
	return i.raw.Write(p)
}

// settle has nothing to do where nothing is held back.
func (i *inflow) settle() bool { return true }

// eachTurn serves a connection until it is done with.
func (c *client) eachTurn() turn { return c.turn() }

//go:build !unix

package balancer

import "net"

// inflow is a connection that is waited for.
type inflow struct{ raw net.Conn }

// Read implements io.Reader.
func (i *inflow) Read(p []byte) (int, error) { return i.raw.Read(p) }

// Write implements io.Writer.
func (i *inflow) Write(p []byte) (int, error) { return i.raw.Write(p) }

// eachTurn serves a connection until it is done with.
func (c *client) eachTurn() turn { return c.turn() }

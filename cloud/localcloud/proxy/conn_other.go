//go:build !unix

package proxy

// held is nothing where descriptors cannot be waited for: every reading waits.
type held struct{}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) { return c.raw.Read(p) }

func (c *conn) write(p []byte) (int, error) { return c.writeWaiting(p) }

// serveHeld serves requests until one needs more or the connection ends.
func (c *client) serveHeld() next { return c.serveBuffered() }

// ended cannot be known here: that a client has left shows when it is answered.
func ended(uintptr) bool { return false }

// holds says whether the descriptor is held.
func (c *conn) holds() bool { return false }

//go:build !unix

package proxy

// stay is nothing where descriptors cannot be waited for: every reading waits.
type stay struct{}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) { return c.raw.Read(p) }

func (c *conn) write(p []byte) (int, error) { return c.writeWaiting(p) }

// serveStay serves requests until one needs more or the connection ends.
func (c *client) serveStay() next { return c.serveBuffered() }

// ended cannot be known here: that a client has left shows when it is answered.
func ended(uintptr) bool { return false }

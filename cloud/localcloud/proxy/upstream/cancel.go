package upstream

import "sync"

// Cancel can end one exchange after the other from outside.
type Cancel struct {
	mu    sync.Mutex
	conn  *conn  // of an exchange of HTTP/1.1
	other func() // ends any other
	err   error
}

// Abort ends what is under way and whatever would begin: err is why.
func (c *Cancel) Abort(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	if c.conn != nil {
		c.conn.abort()
	}
	if c.other != nil {
		c.other()
	}
}

// Ends has Abort call end, nil to have it call nothing more. Errors: why it was
// ended already; then end is not called.
func (c *Cancel) Ends(end func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.other = end
	}
	return c.err
}

// Reset forgets that it was ended. Nothing may be under way.
func (c *Cancel) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.other, c.err = nil, nil, nil
}

// Err is why it was ended, nil when it was not.
func (c *Cancel) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// attach says which connection to end, nil for none. After an error there is none:
// the connection may belong to another exchange soon.
func (c *Cancel) attach(to *conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn = to; c.err != nil {
		c.conn = nil
	}
	return c.err
}

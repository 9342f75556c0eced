// Package ahead owns connections of which some bytes have been read already, by
// somebody who gives them to somebody else: nothing of them is lost.
package ahead

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
)

// Conn is a connection whose first bytes have been read.
type Conn struct {
	net.Conn
	ahead *bytes.Reader
}

// NewConn gives the bytes that were read ahead, and then what the connection has.
func NewConn(c net.Conn, ahead []byte) *Conn { return &Conn{c, bytes.NewReader(ahead)} }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if c.ahead.Len() > 0 {
		return c.ahead.Read(p)
	}
	return c.Conn.Read(p)
}

// CloseWrite lets one side be ended alone. Errors: errors.ErrUnsupported.
func (c *Conn) CloseWrite() error {
	if c, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ReadFrom lets files and pipes be copied by the system.
func (c *Conn) ReadFrom(from io.Reader) (int64, error) { return io.Copy(c.Conn, from) }

// Writer is a server's writer whose connection, when it is taken over, still has
// what the client sent together with its request: httputil.ReverseProxy does not
// look into the reader that comes with it.
type Writer struct{ http.ResponseWriter }

// Unwrap lets http.ResponseController reach the server's own writer.
func (w Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || buffered.Reader.Buffered() == 0 {
		return c, buffered, err
	}
	read, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return NewConn(c, bytes.Clone(read)), buffered, nil
}

package balancer

import (
	"bytes"
	"io"
	"net"
	"sync"
)

// handover is the listener of net/http's server: what is given to it.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// handedOver is a connection of which some bytes have been read ahead.
type handedOver struct {
	net.Conn
	ahead *bytes.Reader
}

// Read implements net.Conn.
func (h *handedOver) Read(p []byte) (int, error) {
	if h.ahead.Len() > 0 {
		return h.ahead.Read(p)
	}
	return h.Conn.Read(p)
}

// CloseWrite lets net/http end its side alone.
func (h *handedOver) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// ReadFrom lets files and pipes be copied by the system.
func (h *handedOver) ReadFrom(from io.Reader) (int64, error) {
	return io.Copy(h.Conn, from)
}

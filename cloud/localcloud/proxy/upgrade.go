package proxy

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"showrunner/cloud/localcloud/proxy/upstream"
)

// halfOpenLimit is how long one side of a tunnel may be silent after the other has ended.
const halfOpenLimit = time.Minute

// upgrade has a service switch to another protocol, and carries that. A server that
// does not switch has answered as to any other request.
func (c *client) upgrade(service Service) bool {
	res, err := service.Carry(&c.call)
	if err != nil {
		return c.fail(service, err)
	}
	defer res.Body.Close()
	if c.answer.end() != nil {
		return false
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return c.write(res)
	}
	server, body := upstream.Tunnel(res)
	if server == nil || c.out.Switch(res) != nil {
		return false
	}
	c.server.becomeTunnel(c)
	defer c.server.remove(c)
	t := &tunnel{client: c.raw, server: server}
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.copy(server, c.ahead(), c.raw)
	}()
	t.copy(&c.conn, body, server)
	<-done
	return false
}

// ahead is what the client says, from what was read ahead on.
func (c *client) ahead() io.Reader { return &prefixedConn{Conn: c.raw, ahead: c.in.Rest()} }

// tunnel is the two connections of an upgrade.
type tunnel struct {
	client, server net.Conn
	half           atomic.Bool // one of them has ended
}

// copy carries what one side says until it ends; to is where it goes, of the other side.
func (t *tunnel) copy(to io.Writer, says io.Reader, from net.Conn) {
	other := t.client
	if from == t.client {
		other = t.server
	}
	piece := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(piece)
	for {
		if t.half.Load() {
			_ = from.SetReadDeadline(time.Now().Add(halfOpenLimit)) // a connection that has ended says so when it is read
		}
		n, err := says.Read(piece[:])
		if n > 0 {
			_ = other.SetWriteDeadline(time.Now().Add(writeLimit)) // as above
			if _, err := to.Write(piece[:n]); err != nil {
				t.client.Close()
				t.server.Close()
				return
			}
		}
		if err == io.EOF {
			t.half.Store(true)
			_ = other.SetReadDeadline(time.Now().Add(halfOpenLimit)) // as above
			closeWrite(other)
			return
		}
		if err != nil {
			t.client.Close()
			t.server.Close()
			return
		}
	}
}

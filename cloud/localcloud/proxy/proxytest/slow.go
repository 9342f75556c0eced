//go:build unix

package proxytest

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// slowClients are what clients begin with that then send one byte after the other, and
// read nothing.
var slowClients = map[string]string{
	"heads":       "GET / HTTP/1.1\r\nHost: " + Host + "\r\nX: ",
	"bodies":      "POST /?mode= HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: slow\r\nContent-Length: 100\r\n\r\n",
	"long bodies": "POST /?mode= HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: slow\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 70_000),
	"answers":     "GET /?mode=huge HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: slow\r\n\r\n",                                // which they do not read
	"HTTP/2":      http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x40\x00\x01\x04\x00\x00\x00\x01", // settings, and a head of 16 KiB
}

// servedWithin is how long a client may wait while slow ones take all descriptors.
const servedWithin = 20 * time.Second

// tooManySlowClients has slow clients come again and again, more than there may be.
// Others are served soon all the same.
func tooManySlowClients(t *testing.T, address, begin string) {
	ctx, stop := context.WithCancel(t.Context())
	var slow sync.WaitGroup
	defer slow.Wait()
	defer stop()
	connected := make(chan struct{}, 1000)
	for range files / 2 {
		slow.Go(func() {
			for ctx.Err() == nil {
				trickle(ctx, address, begin, connected)
			}
		})
	}
	for range files / 4 { // as many as the front may have are there
		<-connected
	}
	for i := range 4 {
		began := time.Now()
		id := fmt.Sprintf("beside-slow-%d", i)
		answer := askOne(t, address, id)
		// The front may refuse with 503 while it has no descriptor for the instance; a client that
		// comes again after the time it is told is served.
		for strings.HasPrefix(answer, "HTTP/1.1 503 ") && strings.Contains(answer, "\r\nRetry-After: 1\r\n") && time.Since(began) < servedWithin {
			<-time.After(time.Second)
			answer = askOne(t, address, id)
		}
		checkAnswer(t, id, answer)
		if took := time.Since(began); took > servedWithin {
			t.Errorf("a client was served after %s", took)
		}
	}
}

// trickle is one slow client, until it is cut off or ctx ends.
func trickle(ctx context.Context, address, begin string, connected chan<- struct{}) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10) // it does not read
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := io.WriteString(c, begin); err != nil {
		return
	}
	select {
	case connected <- struct{}{}:
	default:
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
	}
}

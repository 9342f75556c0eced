package upstream

import (
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/cloud/localcloud/internal/reactor"
)

// told is what a receiver was told.
type told struct{ answered chan *http.Response }

func (t told) Answered(res *http.Response) { t.answered <- res }
func (t told) Unfinished(*Unfinished)      { close(t.answered) }
func (t told) Failed(error)                { close(t.answered) }

// A connection that cannot leave its loop is closed and not kept: its descriptor
// may be somebody else's soon.
func TestALineThatCannotLeaveIsNotKept(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := c.Read(make([]byte, 1<<10)); err == nil {
			io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
			io.Copy(io.Discard, c)
		}
	}()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer nothing.Close()
	loop, err := reactor.New()
	if err != nil {
		t.Fatal(err)
	}
	over, lines, pool := false, NewLines(loop), NewPool(server.Addr().String())
	receiver := told{make(chan *http.Response, 1)}
	request, err := http.NewRequest(http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host, request.RequestURI, request.RemoteAddr = "a", "/", "127.0.0.1:1"
	loop.Post(func() {
		lines.Send(pool, Request{Request: request, Brief: true, Spare: &Spare{}, Cancel: &Cancel{}}, receiver, time.Now())
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		loop.Run(func(time.Time) (time.Duration, bool) { return time.Second, over })
	}()
	defer func() { <-ended }()
	defer loop.Post(func() { over = true })
	res := <-receiver.answered
	if res == nil {
		t.Fatal("no answer")
	}
	done := make(chan struct{})
	loop.Post(func() {
		defer close(done)
		l := exchangeOf(res).conn.raw.(held).line
		if err := unix.Dup3(int(nothing.Fd()), l.file, unix.O_CLOEXEC); err != nil { // no socket any more, so no connection
			t.Error(err)
		}
		if Detach(res) == nil {
			t.Error("it left")
		}
		res.Body.Close()
		if n := len(lines.idle[pool]); n != 0 {
			t.Errorf("%d connections are kept", n)
		}
	})
	<-done
}

package edge

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// An answer that begins while the request's body is still being sent goes on to
// its end, and so does the body.
func TestBothWaysAtOnce(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		for in := bufio.NewReader(r.Body); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, line)
			if err := control.Flush(); err != nil {
				t.Error(err)
			}
		}
	}))
	defer echo.Close()
	c := before(t, echo.Listener.Addr().String()).connect(t)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
	say := func(line string) { fmt.Fprintf(c, "%x\r\n%s\r\n", len(line), line) }
	say("one\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(res.Body)
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		if line != "one\n" {
			say(line)
		}
		if got, err := in.ReadString('\n'); got != line || err != nil {
			t.Fatalf("%q came back as %q: %v", line, got, err)
		}
	}
	io.WriteString(c, "0\r\n\r\n")
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("at the end %q: %v", rest, err)
	}
}

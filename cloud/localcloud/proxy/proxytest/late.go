package proxytest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// lateAnswers has an instance send an answer too many, some time after the asked one.
// No client gets it from an instance that is new. From an instance that is known and
// begins to do so, one client may: an answer that comes right after a request cannot be
// told from the right one. Afterwards no client does. A machine that stands still for a
// moment lets a few more through; without that care it is one in each round.
func lateAnswers(t *testing.T, open Open) {
	rounds := func(t *testing.T, address string, n int) (foreign int) {
		t.Helper()
		for i := range n {
			for _, mode := range []string{"late", "", ""} {
				id := fmt.Sprintf("%s%d", mode, i)
				if got := ask(t, address, id, mode); got != id {
					if got != "EXTRA" {
						t.Errorf("%s is answered by %q", id, got)
					}
					foreign++
				}
				<-time.After(lateness / 4) // longer than connections rest, and before it comes
			}
		}
		return foreign
	}
	t.Run("New", func(t *testing.T) {
		address := open(t, NewInstance(t).Address)
		if n := rounds(t, address, 30); n > 3 {
			t.Errorf("%d clients got an answer that was not asked for", n)
		}
	})
	t.Run("Known", func(t *testing.T) {
		address := open(t, NewInstance(t).Address)
		for i := range 200 {
			if id := fmt.Sprint(i); ask(t, address, id, "") != id {
				t.Fatalf("%s is answered by another", id)
			}
		}
		if n := rounds(t, address, 30); n > 5 {
			t.Errorf("%d clients got an answer that was not asked for", n)
		}
	})
}

// ask sends one request on a connection of its own and says whose answer it is.
func ask(t *testing.T, address, id, mode string) string {
	t.Helper()
	c := connect(t, address)
	defer c.Close()
	fmt.Fprintf(c, "GET /?mode=%s HTTP/1.1\r\nHost: %s\r\nX-Id: %s\r\nConnection: close\r\n\r\n", mode, Host, id)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("%s: %v", id, err)
		return ""
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Errorf("%s: %v", id, err)
	}
	return res.Header.Get("X-Echo-Id")
}
